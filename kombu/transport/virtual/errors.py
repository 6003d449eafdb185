"""What the virtual layer raises and warns of, with AMQP 0-9-1 reply codes."""

from __future__ import annotations

from amqp.exceptions import (
    NotFound,
    PreconditionFailed,
    RecoverableChannelError,
    RecoverableConnectionError,
    ResourceLocked,
)


class NotEquivalentError(PreconditionFailed):
    """An entity was declared again with other properties (406 PRECONDITION_FAILED)."""


class MessageTooLarge(PreconditionFailed, ValueError):
    """A message is larger than its queue takes; it was not sent."""


class Throttled(RecoverableChannelError):
    """A backend asks for fewer requests."""


class InvalidName(PreconditionFailed, ValueError):
    """A name that nothing in this backend can have."""


class UndeliverableWarning(UserWarning):
    """A message was published that no queue receives."""


class ProtocolWarning(UserWarning):
    """Something was accepted that AMQP refuses; ``strict`` makes it an error."""


class InvalidEnvelope(KeyError, ValueError):
    """A stored value is not a message; names what is missing or wrong."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else "invalid envelope"


def not_found(kind: str, name: str, vhost: str, method: str = "") -> NotFound:
    """404: the exchange or queue does not exist."""
    return NotFound(f"NOT_FOUND - no {kind} {name!r} in vhost {vhost!r}", (50, 10), method)


def precondition_failed(text: str, method: str = "") -> PreconditionFailed:
    """406: the entity is not as the caller supposes."""
    return PreconditionFailed(f"PRECONDITION_FAILED - {text}", None, method)


def message_too_large(size: int, queue: str, limit: int, backend: str) -> MessageTooLarge:
    """406, as RabbitMQ says it of what exceeds its ``max_message_size``."""
    return MessageTooLarge(
        f"message of {size} bytes for queue {queue!r}: {backend} takes {limit} at most"
    )


def resource_locked(queue: str, vhost: str, method: str = "") -> ResourceLocked:
    """405: an exclusive queue of another connection."""
    return ResourceLocked(
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue {queue!r} "
        f"in vhost {vhost!r}",
        None,
        method,
    )


def channel_closed(method: str) -> RecoverableConnectionError:
    """Raised by every verb of a closed channel; another channel or connection may serve."""
    return RecoverableConnectionError("channel is closed", None, method)
