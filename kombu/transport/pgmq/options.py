"""What ``transport_options`` a PGMQ connection takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kombu.transport.options import boolean, option, seconds
from kombu.transport.virtual.settings import VirtualOptions


def _fifo_mode(value: Any) -> str:
    if value not in ("grouped", "round_robin"):
        raise ValueError("must be 'grouped' or 'round_robin'")
    return str(value)


def _positive(value: Any) -> int:
    number = int(value)
    if number < 1:
        raise ValueError("must be at least 1")
    return number


@dataclass(frozen=True)
class PgmqOptions(VirtualOptions):
    """Names and defaults as published, and below them those that are ours."""

    queue_name_prefix: str = option("", "put before every queue name")
    visibility_timeout: int = option(
        1800, "longest time in seconds a read message may stay invisible", parse=_positive
    )
    wait_time_seconds: float = option(10, "longest wait for one read", parse=seconds)
    max_poll_seconds: float | None = option(None, "the same under another name", parse=seconds)
    poll_interval_ms: int = option(
        100, "longest pause between two looks, milliseconds", parse=_positive
    )
    init_extension: bool = option(True, "create the extension where it is missing", parse=boolean)
    pool_size: int = option(10, "connections at most", parse=_positive)
    pool_timeout: float | None = option(
        None, "seconds to wait for a free connection; None: 30", parse=seconds
    )
    conn_string: str | None = option(None, "libpq's connection string; wins over the URL")
    fifo_mode: str | None = option(
        None, "read by message groups: 'grouped' or 'round_robin'", parse=_fifo_mode
    )
    use_notify: bool = option(False, "wake by LISTEN/NOTIFY instead of looking", parse=boolean)
    notify_throttle_interval_ms: int = option(
        250, "at most one notification per queue in so many milliseconds", parse=int
    )

    lease: float = option(60.0, "seconds a dead consumer's messages are held back", parse=seconds)
    statement_timeout: float = option(30.0, "seconds any one statement may take", parse=seconds)
