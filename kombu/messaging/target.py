"""What producers and consumers are made on: a channel, or a connection with a default channel."""

from __future__ import annotations

from typing import Any


def is_connection(target: Any) -> bool:
    """Whether ``target`` is a connection (asked of its class, so that nothing is opened)."""
    return hasattr(target.__class__, "default_channel")


def channel_of(target: Any) -> Any:
    """A channel as it is; a connection's default channel, opened when need be."""
    return target.default_channel if is_connection(target) else target


def client_of(channel: Any) -> Any:
    """The connection (the user's object) that a channel belongs to.

    ``None`` once the channel is closed, because then it has forgotten it.
    """
    transport = getattr(channel, "connection", None)
    return getattr(transport, "client", None)
