"""Options of every virtual transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from kombu.transport.options import TransportOptions, boolean, option, seconds


def _semantics(value: Any) -> str:
    if value not in ("channel", "consumer"):
        raise ValueError("must be 'channel' or 'consumer'")
    return str(value)


@dataclass(frozen=True, eq=False)
class VirtualOptions(TransportOptions):
    """What every virtual transport takes."""

    on_channels: ClassVar[tuple[str, ...]] = ("body_encoding", "deadletter_queue")

    body_encoding: str | None = option("base64", "how bodies are written: base64, or None for text")
    deadletter_queue: str | None = option(None, "queue for messages that no queue is bound for")
    polling_interval: float | None = option(
        None, "longest pause between two looks into a backend that can't wake us", parse=seconds
    )
    confirm_publish: bool = option(
        False, "raise MessageNacked when a full queue refuses a message", parse=boolean
    )
    qos_semantics: str = option(
        "channel",
        "what basic_qos without global limits: 'channel', or as RabbitMQ each 'consumer'",
        parse=_semantics,
    )
    max_hold: float | None = option(
        None,
        "seconds after which a held message is not renewed any more, though its owner lives",
        parse=seconds,
    )
