"""What ``transport_options`` a SoftLayer Message Queue connection takes."""

from __future__ import annotations

from dataclasses import dataclass

from kombu.transport.options import boolean, option, seconds
from kombu.transport.virtual.settings import VirtualOptions


@dataclass(frozen=True)
class SLMQOptions(VirtualOptions):
    """Names and defaults as published, and below them those that are ours."""

    queue_name_prefix: str = option("", "put before every queue's name")
    visibility_timeout: int = option(
        1800,
        "seconds after which what a consumer holds is given to others; of new queues",
        parse=int,
    )
    secure: bool | None = option(
        None, "https; None: as SLMQ_SECURE says, and https where that is not set", parse=boolean
    )
    operation_timeout: float = option(30.0, "seconds any one request may take", parse=seconds)
