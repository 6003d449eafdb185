"""What a connection hands on to its transport."""

from __future__ import annotations

from typing import Any

from kombu.transport.base import says_recoverable_errors
from kombu.utils.objects import cached_property

__all__ = ("TransportFace",)


class TransportErrors:
    """A tuple of exceptions as the transport says it; an application may set another.

    ``connection_errors``: after these the connection is of no use. ``channel_errors``: these
    refuse one operation. The recoverable ones: after these connecting again, or the same
    operation on a new channel, may succeed.

    Arguments:
        name: of the attribute, and of the transport's.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, connection: Any, owner: Any = None) -> Any:
        if connection is None:
            return self
        given = connection.__dict__.get(self._name)
        if given is None:
            given = getattr(connection.transport, self._name, None)
        if given is None:  # a transport that derives from none of ours
            plain = self._name == "recoverable_connection_errors"
            return connection.connection_errors + connection.channel_errors if plain else ()
        return given

    def __set__(self, connection: Any, errors: Any) -> None:
        connection.__dict__[self._name] = errors


class TransportFace:
    """The transport's abilities, as the connection shows them."""

    transport: Any
    connection: Any

    def drain_events(self, **kwargs: Any) -> Any:
        """Wait for one event and deliver it.

        Arguments:
            timeout: seconds; ``None`` without limit.

        Raises:
            TimeoutError: nothing arrived.
        """
        return self.transport.drain_events(self.connection, **kwargs)

    def heartbeat_check(self, rate: int = 2) -> Any:
        """Send a heartbeat when one is due, and raise when the peer's are missing.

        Arguments:
            rate: how often it is called within one heartbeat interval.
        """
        return self.transport.heartbeat_check(self.connection, rate=rate)

    def get_heartbeat_interval(self) -> Any:
        """Seconds between heartbeats as agreed with the broker; 0 for none."""
        return self.transport.get_heartbeat_interval(self.connection)

    def register_with_event_loop(self, loop: Any) -> None:
        """Let an event loop watch the connection."""
        self.transport.register_with_event_loop(self.connection, loop)

    def get_manager(self, *args: Any, **kwargs: Any) -> Any:
        """Administration of the broker, where the transport has any."""
        return self.transport.get_manager(*args, **kwargs)

    @cached_property
    def manager(self) -> Any:
        """The one :meth:`get_manager` that this connection keeps."""
        return self.get_manager()

    connection_errors = TransportErrors("connection_errors")
    channel_errors = TransportErrors("channel_errors")
    recoverable_connection_errors = TransportErrors("recoverable_connection_errors")
    recoverable_channel_errors = TransportErrors("recoverable_channel_errors")

    def _reported_errors(self) -> tuple[Any, Any]:
        """Connection and channel errors that users of ``ensure`` see as operational errors.

        As ever: the recoverable ones where the transport says which are, otherwise all. More
        than what is tried again, on a virtual transport: no retry mends a missing exchange.
        """
        recoverable = "recoverable_connection_errors" in self.__dict__
        if recoverable or says_recoverable_errors(self.transport):
            return self.recoverable_connection_errors, self.recoverable_channel_errors
        return self.connection_errors, self.channel_errors

    @property
    def supports_heartbeats(self) -> bool:
        """Whether the protocol has heartbeats."""
        return bool(self.transport.supports_heartbeats)

    @property
    def is_evented(self) -> bool:
        """Whether the transport works with the event loop."""
        return bool(self.transport.supports_ev)

    @property
    def qos_semantics_matches_spec(self) -> bool:
        """Whether ``basic_qos`` without ``global`` counts per consumer."""
        return bool(self.transport.qos_semantics_matches_spec(self.connection))
