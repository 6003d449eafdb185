"""What ``transport_options`` a NATS connection takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kombu.transport.options import boolean, option, seconds
from kombu.transport.virtual.settings import VirtualOptions


def _storage(value: Any) -> str:
    if value not in ("file", "memory"):
        raise ValueError("must be 'file' or 'memory'")
    return str(value)


@dataclass(frozen=True, eq=False)
class NatsOptions(VirtualOptions):
    """There is no published transport of this name: all are ours."""

    lease: float = option(60.0, "seconds a dead consumer's messages are held back", parse=seconds)
    socket_timeout: float = option(10.0, "seconds any one request may take", parse=seconds)
    ping_interval: float = option(
        10.0, "seconds between pings; two without an answer end the connection", parse=seconds
    )
    storage: str = option("file", "where JetStream keeps queues: file or memory", parse=_storage)
    replicas: int = option(1, "servers of a cluster that keep each queue", parse=int)
    deduplicate: bool = option(
        False,
        "drop a message whose property message_id another message of its queue had within two "
        "minutes (Celery publishes retries under the id of the task: not for it)",
        parse=boolean,
    )
    user_credentials: str | None = option(None, "path of a .creds file (JWT and NKEY seed)")
