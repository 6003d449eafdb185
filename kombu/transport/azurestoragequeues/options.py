"""What ``transport_options`` a connection to Azure Storage Queues takes."""

from __future__ import annotations

from dataclasses import dataclass

from kombu.transport.options import option, seconds
from kombu.transport.virtual.settings import VirtualOptions


@dataclass(frozen=True, eq=False)
class StorageQueueOptions(VirtualOptions):
    """Names and defaults as published, and below them those that are ours."""

    queue_name_prefix: str = option("", "put before every queue's name")

    lease: float = option(
        60.0, "seconds a dead consumer's messages are held back (whole ones)", parse=seconds
    )
    request_timeout: float = option(
        30.0, "seconds any one request may take, without connecting", parse=seconds
    )
    parallel_requests: int = option(
        8, "requests at a time to acknowledge or renew several messages", parse=int
    )
    recreate_timeout: float = option(
        60.0, "seconds to wait for the end of a queue that is declared again", parse=seconds
    )
