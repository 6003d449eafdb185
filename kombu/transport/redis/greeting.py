"""Connections whose greeting is part of connecting: TLS, AUTH, SELECT within its time limit.

redis-py bounds only TCP's part by ``socket_connect_timeout``; a port that takes connections
and never answers would be waited for as long as any reply.
"""

from __future__ import annotations

from typing import Any

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

from kombu.utils.deadlines import time_left

__all__ = ("greeting_bounded", "least")


def least(*limits: float | None) -> float | None:
    """The shortest of some time limits; ``None`` is no limit."""
    return min((limit for limit in limits if limit is not None), default=None)


class _BoundedGreeting:
    """Mixed into redis-py's connections."""

    socket_timeout: float | None
    socket_connect_timeout: float | None
    _sock: Any

    def _connect(self) -> Any:
        usual = (self.socket_timeout, self.socket_connect_timeout)
        limit = least(self.socket_connect_timeout, time_left())
        self.socket_timeout, self.socket_connect_timeout = least(usual[0], limit), limit
        try:
            return super()._connect()  # type: ignore[misc]  # of the class mixed into
        finally:
            self.socket_timeout, self.socket_connect_timeout = usual

    def connect(self) -> Any:
        """Connect and greet; afterwards replies have their usual time."""
        done = super().connect()  # type: ignore[misc]  # of the class mixed into
        if self._sock is not None:
            self._sock.settimeout(self.socket_timeout)
        return done


class _TCP(_BoundedGreeting, Connection):
    """Over TCP."""


class _TLS(_BoundedGreeting, SSLConnection):
    """Over TLS."""


class _Unix(_BoundedGreeting, UnixDomainSocketConnection):
    """Over a socket of the file system."""


_BOUNDED: dict[type, type] = {
    Connection: _TCP,
    SSLConnection: _TLS,
    UnixDomainSocketConnection: _Unix,
}


def greeting_bounded(connection_class: type) -> type:
    """The class to use instead of one of redis-py's; classes of others are left alone."""
    return _BOUNDED.get(connection_class, connection_class)
