"""Claims on Redis, and what is written back when a message returns to its queue."""

from __future__ import annotations

from typing import Any

from kombu.transport.redis.keys import Bookkeeping
from kombu.transport.virtual.store import Claim, Envelope
from kombu.utils.json import dumps

#: In ``delivery_info``: how often a message that came back was delivered (additive).
DELIVERIES = "x-delivery-count"

#: In ``delivery_info``: number of the first claim, by which returned messages are put in
#: order again (additive; see ``order.lua``).
ORDER = "x-claim-order"


class RedisClaim(Claim):
    """A claim that knows where it is recorded.

    Arguments:
        raw: the envelope as it was stored.
        field: its name in the bookkeeping; ``None`` where nothing is recorded.
        books: the keys it is recorded under.
        source: the list it was taken from.
        rank: number of its priority step.
    """

    __slots__ = ("books", "field", "rank", "raw", "source")

    def __init__(
        self,
        queue: str,
        message: Envelope,
        receipt: str,
        raw: bytes,
        field: str | bytes | None,
        books: Bookkeeping,
        source: str,
        rank: int = 0,
    ) -> None:
        redelivered, deliveries = history(message)
        super().__init__(queue, message, receipt, redelivered, deliveries)
        self.raw = raw
        self.field = field
        self.books = books
        self.source = source
        self.rank = rank


def history(message: Envelope) -> tuple[bool, int]:
    """Whether a stored message was delivered before, and how often."""
    properties = message.get("properties")
    info = properties.get("delivery_info") if isinstance(properties, dict) else None
    headers = message.get("headers")
    redelivered = bool(
        (isinstance(info, dict) and info.get("redelivered"))
        or (isinstance(headers, dict) and headers.get("redelivered"))
    )
    count = info.get(DELIVERIES) if isinstance(info, dict) else None
    if isinstance(count, int) and not isinstance(count, bool):
        return redelivered, count
    return redelivered, int(redelivered)


def returned(message: Envelope, receipt: str = "") -> str:
    """The text of a message on its way back: marked redelivered, deliveries counted.

    Arguments:
        receipt: of the claim it returns from; its number tells the order.

    The marks are those of the published transport: in ``headers`` and in ``delivery_info``.
    """
    _, deliveries = history(message)
    headers: dict[str, Any] = dict(message.get("headers") or {})
    properties: dict[str, Any] = dict(message.get("properties") or {})
    info: dict[str, Any] = dict(properties.get("delivery_info") or {})
    headers["redelivered"] = True
    info["redelivered"] = True
    info[DELIVERIES] = deliveries + 1
    number = receipt.split("/", 1)[0]
    if number and not isinstance(info.get(ORDER), str):
        info[ORDER] = number
    properties["delivery_info"] = info
    return dumps({**message, "headers": headers, "properties": properties})
