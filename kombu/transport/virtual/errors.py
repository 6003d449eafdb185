"""What the virtual layer raises and warns of, with AMQP 0-9-1 reply codes."""

from __future__ import annotations

from amqp.exceptions import (
    NotFound,
    PreconditionFailed,
    RecoverableConnectionError,
    ResourceLocked,
)


class NotEquivalentError(PreconditionFailed):
    """An entity was declared again with other properties (406 PRECONDITION_FAILED)."""


class UndeliverableWarning(UserWarning):
    """A message was published that no queue receives."""


class ProtocolWarning(UserWarning):
    """Something was accepted that AMQP refuses; ``strict`` makes it an error."""


class InvalidEnvelope(KeyError, ValueError):
    """A stored value is not a message; names what is missing or wrong."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else "invalid envelope"


class MessageTooLarge(ValueError):
    """A message is larger than the backend takes; nothing was sent."""


def not_found(kind: str, name: str, vhost: str, method: str = "") -> NotFound:
    """404: the exchange or queue does not exist."""
    return NotFound(f"NOT_FOUND - no {kind} {name!r} in vhost {vhost!r}", (50, 10), method)


def precondition_failed(text: str, method: str = "") -> PreconditionFailed:
    """406: the entity is not as the caller supposes."""
    return PreconditionFailed(f"PRECONDITION_FAILED - {text}", None, method)


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
