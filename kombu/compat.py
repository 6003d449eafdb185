"""The interface of Carrot, which came before Kombu; new programs use :mod:`kombu.messaging`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from types import TracebackType
from typing import Any

from kombu import messaging
from kombu.entity import Exchange, Queue

__all__ = ("Consumer", "ConsumerSet", "Publisher", "entry_to_queue", "iterconsume")


def entry_to_queue(queue: str, **options: Any) -> Queue:
    """A queue from an entry of Carrot's settings; see :meth:`kombu.Queue.from_dict`."""
    return Queue.from_dict(queue, **options)


def iterconsume(
    connection: Any, consumer: messaging.Consumer, no_ack: bool = False, limit: int | None = None
) -> Iterator[Any]:
    """Consume while it is iterated over.

    Arguments:
        connection: the connection, drained once for each step.
        consumer: begins to consume at the first step.
        no_ack: messages need no acknowledgement.
        limit: most steps; ``None`` is no limit.
    """
    consumer.consume(no_ack=no_ack)
    for _ in range(limit) if limit else count():
        yield connection.drain_events()


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value


class Publisher(messaging.Producer):
    """A producer with a channel of its own, described by flat options.

    Arguments:
        connection: where the channel is opened.
        exchange: an :class:`~kombu.Exchange` or a name.
        routing_key: default routing key.
        exchange_type: type of an exchange given by name.
        durable: of an exchange given by name.
        auto_delete: of an exchange given by name.
        channel: used instead of a channel of its own, and not closed by :meth:`close`.
        **kwargs: of :class:`kombu.Producer`.

    Subclasses set the same names as class attributes for defaults.
    """

    exchange: Any = ""
    exchange_type: str = "direct"
    routing_key: str = ""
    durable: bool = True
    auto_delete: bool = False

    def __init__(
        self,
        connection: Any,
        exchange: Any = None,
        routing_key: str | None = None,
        exchange_type: str | None = None,
        durable: bool | None = None,
        auto_delete: bool | None = None,
        channel: Any = None,
        **kwargs: Any,
    ) -> None:
        self._owns_channel = channel is None
        self.exchange_type = exchange_type or self.exchange_type
        self.durable = _given(durable, self.durable)
        self.auto_delete = _given(auto_delete, self.auto_delete)
        exchange = exchange or self.exchange
        if not isinstance(exchange, Exchange):
            exchange = Exchange(
                exchange or "",
                type=self.exchange_type,
                durable=self.durable,
                auto_delete=self.auto_delete,
            )
        channel = connection.channel() if channel is None else channel
        super().__init__(channel, exchange, routing_key=routing_key, **kwargs)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def backend(self) -> Any:
        """The channel."""
        return self.channel

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """Same as :meth:`publish`."""
        return self.publish(*args, **kwargs)

    def close(self) -> None:
        """Close the channel, if it is its own."""
        if self._owns_channel:
            self.channel.close()


class Consumer(messaging.Consumer):
    """A consumer of one queue with a channel of its own, described by flat options.

    Arguments:
        connection: where the channel is opened.
        queue: the queue's name.
        exchange: the exchange's name.
        routing_key: of the binding.
        exchange_type: type of the exchange.
        durable: of queue and exchange.
        exclusive: of the queue; implies ``auto_delete``.
        auto_delete: of queue and exchange.
        **kwargs: of :class:`kombu.Consumer`.

    Subclasses set the same names as class attributes for defaults.
    """

    queue: str = ""
    exchange: str = ""
    routing_key: str = ""
    exchange_type: str = "direct"
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False

    def __init__(
        self,
        connection: Any,
        queue: str | None = None,
        exchange: str | None = None,
        routing_key: str | None = None,
        exchange_type: str | None = None,
        durable: bool | None = None,
        exclusive: bool | None = None,
        auto_delete: bool | None = None,
        **kwargs: Any,
    ) -> None:
        self.backend = connection.channel()
        self.durable = _given(durable, self.durable)
        self.exclusive = _given(exclusive, self.exclusive)
        self.auto_delete = _given(auto_delete, self.auto_delete)
        self.queue = queue or self.queue
        self.exchange = exchange or self.exchange
        self.exchange_type = exchange_type or self.exchange_type
        self.routing_key = routing_key or self.routing_key
        source = Exchange(
            self.exchange,
            type=self.exchange_type,
            durable=self.durable,
            auto_delete=self.auto_delete,
        )
        declared = Queue(
            self.queue,
            exchange=source,
            routing_key=self.routing_key,
            durable=self.durable,
            exclusive=self.exclusive,
            auto_delete=self.auto_delete,
        )
        super().__init__(self.backend, declared, **kwargs)

    def revive(self, channel: Any) -> None:
        """Go on with another channel."""
        self.backend = channel
        super().revive(channel)

    def close(self) -> None:
        """Stop consuming, and close the channel."""
        self.cancel()
        self.backend.close()

    def __enter__(self) -> Consumer:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        return self.iterqueue(infinite=True)

    def fetch(self, no_ack: bool | None = None, enable_callbacks: bool = False) -> Any:
        """Take one message now.

        Arguments:
            no_ack: it needs no acknowledgement; ``None``: as the consumer says.
            enable_callbacks: hand it to the callbacks too.

        Returns:
            the message, or ``None``.
        """
        message = self.queues[0].get(_given(no_ack, self.no_ack))
        if message is not None and enable_callbacks:
            self.receive(message.payload, message)
        return message

    def process_next(self) -> Any:
        """Gone; ``fetch(enable_callbacks=True)`` does it."""
        raise NotImplementedError("Use fetch(enable_callbacks=True)")

    def discard_all(self, filterfunc: Callable[[Any], bool] | None = None) -> int:
        """Delete the waiting messages.

        Returns:
            how many there were.

        Raises:
            NotImplementedError: with a filter.
        """
        if filterfunc is not None:
            raise NotImplementedError("discard_all does not implement filters")
        return self.purge()

    def iterconsume(self, limit: int | None = None, no_ack: bool | None = None) -> Iterator[Any]:
        """Consume while it is iterated over, at most ``limit`` steps."""
        return iterconsume(self.connection, self, bool(_given(no_ack, self.no_ack)), limit)

    def wait(self, limit: int | None = None) -> list[Any]:
        """Consume ``limit`` times."""
        return list(self.iterconsume(limit))

    def iterqueue(self, limit: int | None = None, infinite: bool = False) -> Iterator[Any]:
        """Take messages.

        Arguments:
            limit: most messages; ``None`` is no limit.
            infinite: don't end when the queue is empty, but yield ``None``.
        """
        for _ in range(limit) if limit else count():
            message = self.fetch()
            if message is None and not infinite:
                return
            yield message


class ConsumerSet(messaging.Consumer):
    """A consumer of several queues.

    Arguments:
        connection: where the channel is opened.
        from_dict: queue name -> options, as of :func:`entry_to_queue`.
        consumers: consumers whose queues are taken.
        channel: used instead of a channel of its own, and not closed by :meth:`close`.
        **kwargs: of :class:`kombu.Consumer`.
    """

    def __init__(
        self,
        connection: Any,
        from_dict: Mapping[str, Mapping[str, Any]] | None = None,
        consumers: Iterable[messaging.Consumer] | None = None,
        channel: Any = None,
        **kwargs: Any,
    ) -> None:
        self._owns_channel = channel is None
        self.backend = connection.channel() if channel is None else channel
        queues = [queue for consumer in consumers or () for queue in consumer.queues]
        queues.extend(
            entry_to_queue(name, **options) for name, options in (from_dict or {}).items()
        )
        super().__init__(self.backend, queues, **kwargs)

    def iterconsume(self, limit: int | None = None, no_ack: bool = False) -> Iterator[Any]:
        """Consume while it is iterated over, at most ``limit`` steps."""
        return iterconsume(self.connection, self, no_ack, limit)

    def discard_all(self) -> int:
        """Delete the waiting messages.

        Returns:
            how many there were.
        """
        return self.purge()

    def add_consumer_from_dict(self, queue: str, **options: Any) -> Queue:
        """Add a queue described by options, as of :func:`entry_to_queue`."""
        return self.add_queue(entry_to_queue(queue, **options))

    def add_consumer(self, consumer: messaging.Consumer) -> None:
        """Add a consumer's queues."""
        for queue in consumer.queues:
            self.add_queue(queue)

    def revive(self, channel: Any) -> None:
        """Go on with another channel."""
        self.backend = channel
        super().revive(channel)

    def close(self) -> None:
        """Stop consuming, and close the channel if it is its own."""
        self.cancel()
        if self._owns_channel:
            self.backend.close()
