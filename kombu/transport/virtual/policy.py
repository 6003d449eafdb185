"""What queue arguments and message properties demand. Pure: ``now`` comes in, decisions go out.

Names, units and defaults are RabbitMQ's: ``x-`` arguments, times in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from kombu.transport.virtual.envelope import EXPIRES_AT, clamp_priority
from kombu.transport.virtual.store import Envelope, Put

#: Makes a Put of a whole tuple in half the time.
_new_put = tuple.__new__

Reason = Literal["rejected", "expired", "maxlen", "delivery_limit"]

OVERFLOWS = ("drop-head", "reject-publish", "reject-publish-dlx")


class QueuePolicy(NamedTuple):
    """A queue's arguments, read once. Times are seconds here."""

    message_ttl: float | None = None
    expires: float | None = None
    max_length: int | None = None
    max_bytes: int | None = None
    overflow: str = "drop-head"
    max_priority: int | None = None
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    delivery_limit: int | None = None
    single_active_consumer: bool = False

    @property
    def bounded(self) -> bool:
        """Whether the queue has a maximum length."""
        return self.max_length is not None or self.max_bytes is not None

    @classmethod
    def of(cls, arguments: Mapping[str, Any] | None) -> QueuePolicy | None:
        """Read queue arguments; ``None`` when they demand nothing.

        Raises:
            ValueError: naming the argument whose value can't be used.
        """
        if not arguments:
            return None
        policy = cls(
            message_ttl=_milliseconds(arguments, "x-message-ttl"),
            expires=_milliseconds(arguments, "x-expires", minimum=1),
            max_length=_count(arguments, "x-max-length"),
            max_bytes=_count(arguments, "x-max-length-bytes"),
            overflow=_overflow(arguments),
            max_priority=_count(arguments, "x-max-priority"),
            dead_letter_exchange=_text(arguments, "x-dead-letter-exchange"),
            dead_letter_routing_key=_text(arguments, "x-dead-letter-routing-key"),
            delivery_limit=_count(arguments, "x-delivery-limit"),
            single_active_consumer=bool(arguments.get("x-single-active-consumer")),
        )
        return None if policy == cls() else policy


def _number(arguments: Mapping[str, Any], name: str, minimum: int) -> int | None:
    value = arguments.get(name)
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = minimum - 1
    if number < minimum:
        raise ValueError(f"queue argument {name}={value!r} must be a number of at least {minimum}")
    return number


def _count(arguments: Mapping[str, Any], name: str) -> int | None:
    return _number(arguments, name, 0)


def _milliseconds(arguments: Mapping[str, Any], name: str, minimum: int = 0) -> float | None:
    number = _number(arguments, name, minimum)
    return None if number is None else number / 1000.0


def _text(arguments: Mapping[str, Any], name: str) -> str | None:
    value = arguments.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"queue argument {name}={value!r} must be text")
    return value


def _overflow(arguments: Mapping[str, Any]) -> str:
    value = arguments.get("x-overflow", "drop-head")
    if value not in OVERFLOWS:
        raise ValueError(f"queue argument x-overflow={value!r} must be one of {OVERFLOWS}")
    return str(value)


# ---- on the way in


def expiration_of(properties: Mapping[str, Any]) -> float | None:
    """Seconds a message may wait by its own ``expiration`` (text of milliseconds)."""
    value = properties.get("expiration")
    if value is None or value == "":
        return None
    try:
        milliseconds = int(value)
    except (TypeError, ValueError):
        raise ValueError(f"expiration={value!r} must be a number of milliseconds") from None
    return max(milliseconds, 0) / 1000.0


def delay_of(headers: Mapping[str, Any]) -> float | None:
    """Seconds to hold a message back by its header ``x-delay`` (milliseconds)."""
    value = headers.get("x-delay")
    if value is None:
        return None
    try:
        delay = int(value) / 1000.0
    except (TypeError, ValueError):
        raise ValueError(f"header x-delay={value!r} must be a number of milliseconds") from None
    return delay if delay > 0 else None


def put_of(queue: str, message: Envelope, policy: QueuePolicy | None, now: float) -> Put:
    """What to hand to the store for one message in one queue.

    The deadline also travels in the stored envelope (property ``x-expires-at``), so that
    readers in other processes hold it; the envelope given is not changed.

    Raises:
        ValueError: ``expiration`` or ``x-delay`` is no number.
    """
    properties = message.get("properties") or {}
    priority = properties.get("priority")
    if type(priority) is not int or not 0 <= priority <= 9:
        priority = clamp_priority(priority)
    headers = message.get("headers")
    delay = delay_of(headers) if headers and "x-delay" in headers else None
    ttl = expiration_of(properties) if "expiration" in properties else None
    if policy is not None:
        if policy.message_ttl is not None:
            ttl = policy.message_ttl if ttl is None else min(ttl, policy.message_ttl)
        if policy.max_priority is not None:
            priority = min(priority, policy.max_priority)
    if ttl is None and delay is None:
        return _new_put(Put, (queue, message, priority, None, None))
    ready_at = None if delay is None else now + delay
    expires_at = None
    if ttl is not None:
        # A delayed message starts to age once it is in the queue, as in RabbitMQ's plugin.
        expires_at = (now if ready_at is None else ready_at) + ttl
        message = {**message, "properties": {**properties, EXPIRES_AT: expires_at}}
    return Put(queue, message, priority, ready_at, expires_at)


def expires(message: Envelope) -> bool:
    """Whether a stored message has a deadline."""
    properties = message.get("properties")
    return isinstance(properties, dict) and EXPIRES_AT in properties


def expired(message: Envelope, now: float) -> bool:
    """Whether a stored message's deadline has passed."""
    if not expires(message):
        return False
    deadline = message["properties"][EXPIRES_AT]
    return isinstance(deadline, (int, float)) and deadline <= now


def size_of(message: Envelope) -> int:
    """Bytes a message counts for ``x-max-length-bytes``: its body, as RabbitMQ."""
    body = message.get("body")
    if not isinstance(body, (str, bytes)):
        return 0
    properties = message.get("properties") or {}
    if isinstance(body, str) and properties.get("body_encoding") == "base64":
        return len(body) * 3 // 4 - body[-2:].count("=")
    return len(body)


def unused(policy: QueuePolicy, last_used: float, consumers: int, now: float) -> bool:
    """Whether a queue has outlived its ``x-expires``."""
    return policy.expires is not None and not consumers and now - last_used >= policy.expires


# ---- on the way out


def dead_letter_key(policy: QueuePolicy, message: Envelope) -> str:
    """The routing key to dead-letter with: the queue's, else the message's own."""
    if policy.dead_letter_routing_key is not None:
        return policy.dead_letter_routing_key
    info = (message.get("properties") or {}).get("delivery_info") or {}
    return str(info.get("routing_key") or "")


def dead_letter(message: Envelope, queue: str, reason: Reason, now: float) -> Envelope:
    """The envelope to publish to the dead letter exchange, with ``x-death`` as RabbitMQ's.

    ``expiration`` is dropped (and kept in the death's record), so that the message does not
    expire again in the dead letter queue. ``time`` is unix seconds, as JSON has no
    timestamps.
    """
    properties = dict(message.get("properties") or {})
    headers = dict(message.get("headers") or {})
    info = properties.get("delivery_info") or {}
    exchange, key = str(info.get("exchange") or ""), str(info.get("routing_key") or "")
    expiration = properties.pop("expiration", None)
    properties.pop(EXPIRES_AT, None)
    deaths = [dict(death) for death in _deaths(headers)]
    for index, death in enumerate(deaths):
        if death.get("queue") == queue and death.get("reason") == reason:
            deaths.insert(0, deaths.pop(index))
            count = death.get("count")
            deaths[0]["count"] = (count if isinstance(count, int) else 0) + 1
            break
    else:
        record: dict[str, Any] = {
            "count": 1,
            "exchange": exchange,
            "queue": queue,
            "reason": reason,
            "routing-keys": [key],
            "time": int(now),
        }
        if expiration is not None:
            record["original-expiration"] = str(expiration)
        deaths.insert(0, record)
    headers["x-death"] = deaths
    for name, value in (("exchange", exchange), ("queue", queue), ("reason", reason)):
        headers.setdefault(f"x-first-death-{name}", value)
        headers[f"x-last-death-{name}"] = value
    headers.pop("x-delay", None)
    fresh = {**message, "headers": headers, "properties": properties}
    fresh.pop("redelivered", None)
    return fresh


def is_cycle(message: Envelope, queue: str) -> bool:
    """Whether dead-lettering into ``queue`` again would go round for ever.

    As RabbitMQ: the message was in this queue before, and nobody rejected it since.
    """
    for death in _deaths(message.get("headers") or {}):
        if death.get("reason") == "rejected":
            return False
        if death.get("queue") == queue:
            return True
    return False


def _deaths(headers: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    deaths = headers.get("x-death")
    if not isinstance(deaths, list):
        return ()
    return [death for death in deaths if isinstance(death, Mapping)]
