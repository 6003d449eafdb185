"""Queues that look like those of :mod:`queue`."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from queue import Empty
from time import monotonic
from types import TracebackType
from typing import Any, ClassVar

from kombu.connection import maybe_channel
from kombu.entity import Exchange, Queue
from kombu.messaging import Consumer, Producer

__all__ = ("SimpleBase", "SimpleBuffer", "SimpleQueue")


class SimpleBase:
    """A queue with :meth:`put` and :meth:`get`; to be used by one thread.

    Arguments:
        channel: a channel or a connection.
        producer: sends to the queue.
        consumer: receives from it; its first queue is the queue.
        no_ack: messages need no acknowledgement.
    """

    Empty = Empty

    def __init__(
        self, channel: Any, producer: Producer, consumer: Consumer, no_ack: bool = False
    ) -> None:
        self.channel = maybe_channel(channel)
        self.producer = producer
        self.consumer = consumer
        self.no_ack = no_ack
        self.queue = consumer.queues[0]
        #: Received, but not yet asked for.
        self.buffer: deque[Any] = deque()
        self._consuming = False
        consumer.register_callback(self._on_message)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take a message; unless ``no_ack``, acknowledge it when it is done with.

        Arguments:
            block: wait for one.
            timeout: most seconds to wait; ``None`` without limit.

        Raises:
            Empty: there was none.
        """
        if not block:
            return self.get_nowait()
        self._consume()
        end = None if timeout is None else monotonic() + timeout
        while not self.buffer:
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                raise self.Empty
            self._drain(left)
        return self.buffer.popleft()

    def _drain(self, timeout: float | None) -> None:
        try:
            self.channel.connection.client.drain_events(timeout=timeout)
        except TimeoutError:
            raise self.Empty from None

    def get_nowait(self) -> Any:
        """Take a message without waiting.

        Raises:
            Empty: there is none.
        """
        if self.buffer:
            return self.buffer.popleft()
        message = self.queue.get(no_ack=self.no_ack, accept=self.consumer.accept)
        if message is None:
            raise self.Empty
        return message

    def put(
        self,
        message: Any,
        serializer: str | None = None,
        headers: Mapping[str, Any] | None = None,
        compression: str | None = None,
        routing_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Send a message.

        Arguments:
            message: the body.
            **kwargs: further arguments of :meth:`kombu.Producer.publish`.
        """
        self.producer.publish(
            message,
            routing_key=routing_key,
            serializer=serializer,
            headers=headers,
            compression=compression,
            **kwargs,
        )

    def clear(self) -> int:
        """Drop what waits in the queue; returns how many messages."""
        dropped = len(self.buffer)
        while self.buffer:
            message = self.buffer.popleft()
            if not message.acknowledged:
                message.ack()
        return dropped + int(self.queue.purge() or 0)

    def qsize(self) -> int:
        """How many messages wait in the queue."""
        return int(self.queue.queue_declare(passive=True).message_count)

    def close(self) -> None:
        """Stop receiving; what was received but not asked for returns to the queue."""
        if self._consuming:
            self._consuming = False
            self.consumer.cancel()
        while self.buffer:
            message = self.buffer.popleft()
            if not message.acknowledged:
                message.requeue()

    def _on_message(self, body: Any, message: Any) -> None:
        self.buffer.append(message)

    def _consume(self) -> None:
        if not self._consuming:
            self.consumer.consume(no_ack=self.no_ack)
            self._consuming = True

    def __enter__(self) -> SimpleBase:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self.qsize()

    def __bool__(self) -> bool:
        return True


class SimpleQueue(SimpleBase):
    """A durable queue whose messages are acknowledged.

    Arguments:
        channel: a channel or a connection.
        name: the queue's name, which is its exchange's and routing key too; or a
            :class:`kombu.Queue`.
        no_ack: messages need no acknowledgement.
        queue_opts: further arguments of :class:`kombu.Queue`.
        queue_args: its ``queue_arguments``.
        exchange_opts: further arguments of :class:`kombu.Exchange`.
        serializer, compression: of what is put.
        accept: content types or serializers that are decoded.
    """

    no_ack: bool = False
    queue_opts: ClassVar[Mapping[str, Any]] = {}
    queue_args: ClassVar[Mapping[str, Any]] = {}
    exchange_opts: ClassVar[Mapping[str, Any]] = {"type": "direct"}

    def __init__(
        self,
        channel: Any,
        name: Any,
        no_ack: bool | None = None,
        queue_opts: Mapping[str, Any] | None = None,
        queue_args: Mapping[str, Any] | None = None,
        exchange_opts: Mapping[str, Any] | None = None,
        serializer: str | None = None,
        compression: str | None = None,
        accept: Any = None,
    ) -> None:
        queue = name if isinstance(name, Queue) else None
        if queue is None:
            queue = Queue(
                name,
                Exchange(name, **{**self.exchange_opts, **(exchange_opts or {})}),
                name,
                queue_arguments={**self.queue_args, **(queue_args or {})},
                **{**self.queue_opts, **(queue_opts or {})},
            )
        producer = Producer(
            channel,
            queue.exchange,
            serializer=serializer,
            routing_key=queue.routing_key,
            compression=compression,
        )
        consumer = Consumer(channel, queue, accept=accept)
        super().__init__(channel, producer, consumer, self.no_ack if no_ack is None else no_ack)


class SimpleBuffer(SimpleQueue):
    """A queue that lives as long as its connection and whose messages need no acknowledgement."""

    no_ack: bool = True
    queue_opts: ClassVar[Mapping[str, Any]] = {
        "durable": False,
        "auto_delete": True,
        "exclusive": True,
    }
    exchange_opts: ClassVar[Mapping[str, Any]] = {
        "durable": False,
        "delivery_mode": "transient",
        "auto_delete": True,
    }
