"""What can be made of a connection.

By name, because most of it stands above connections.
"""

from __future__ import annotations

from typing import Any

from kombu.utils.imports import symbol_by_name

__all__ = ("Offspring",)


class Offspring:
    """Pools, producers, consumers and simple queues of a connection."""

    def Pool(self, limit: int | None = None, **kwargs: Any) -> Any:
        """A :class:`ConnectionPool` of connections like this one."""
        return symbol_by_name("kombu.connection:ConnectionPool")(self, limit, **kwargs)

    def ChannelPool(self, limit: int | None = None, **kwargs: Any) -> Any:
        """A :class:`ChannelPool` of this connection's channels."""
        return symbol_by_name("kombu.connection:ChannelPool")(self, limit, **kwargs)

    def Producer(self, channel: Any = None, *args: Any, **kwargs: Any) -> Any:
        """A :class:`kombu.Producer`, on the default channel if no other is given."""
        return symbol_by_name("kombu.messaging:Producer")(channel or self, *args, **kwargs)

    def Consumer(self, queues: Any = None, channel: Any = None, *args: Any, **kwargs: Any) -> Any:
        """A :class:`kombu.Consumer`, on the default channel if no other is given."""
        consumer = symbol_by_name("kombu.messaging:Consumer")
        return consumer(channel or self, queues, *args, **kwargs)

    def SimpleQueue(
        self,
        name: Any,
        no_ack: bool | None = None,
        queue_opts: dict[str, Any] | None = None,
        queue_args: dict[str, Any] | None = None,
        exchange_opts: dict[str, Any] | None = None,
        channel: Any = None,
        **kwargs: Any,
    ) -> Any:
        """A :class:`kombu.simple.SimpleQueue`, on the default channel if no other is given."""
        return symbol_by_name("kombu.simple:SimpleQueue")(
            channel or self, name, no_ack, queue_opts, queue_args, exchange_opts, **kwargs
        )

    def SimpleBuffer(
        self,
        name: Any,
        no_ack: bool | None = None,
        queue_opts: dict[str, Any] | None = None,
        queue_args: dict[str, Any] | None = None,
        exchange_opts: dict[str, Any] | None = None,
        channel: Any = None,
        **kwargs: Any,
    ) -> Any:
        """A :class:`kombu.simple.SimpleBuffer`, on the default channel if no other is given."""
        return symbol_by_name("kombu.simple:SimpleBuffer")(
            channel or self, name, no_ack, queue_opts, queue_args, exchange_opts, **kwargs
        )
