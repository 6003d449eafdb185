"""Consuming messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from types import TracebackType
from typing import Any

from kombu.entity import Queue
from kombu.exceptions import ContentDisallowed
from kombu.message import Message
from kombu.middleware.chain import Chain, chain_of
from kombu.middleware.events import Delivery
from kombu.serialization import prepare_accept_content
from kombu.utils.functional import maybe_list

from .failure import policy_named
from .target import channel_of, client_of

#: Numbers consumer tags, which must differ within a channel.
_tag_numbers = count(1)


class Consumer:
    """Receives messages from queues while its connection is drained.

    ::

        with Consumer(channel, [queue], callbacks=[handle], accept=["json"]):
            connection.drain_events(timeout=1)

    Arguments:
        channel: a channel, or a connection, whose default channel is then opened.
        queues: a :class:`~kombu.Queue` or several.
        no_ack: messages need no acknowledgement; ``None``: as each queue says.
        auto_declare: declare the queues now (default true).
        callbacks: each is called with (decoded body, message).
        on_decode_error: called with (message, exception) for what can't be decoded or isn't
            accepted; without it that is raised from ``drain_events``.
        on_message: called with the message, not decoded, instead of the callbacks.
        accept: content types or serializer names that are decoded; ``None``: the default ones.
        prefetch_count: most unacknowledged messages of this consumer; ``None`` doesn't say.
        tag_prefix: consumer tags begin with it.
        failure_policy: what becomes of a message when handling it is done or failed:
            ``"manual"`` (default: the handler settles it, errors are raised from
            ``drain_events``), ``"ack-first"``, ``"ack"``, ``"reject-on-error"`` or
            ``"requeue-on-error"`` (see :mod:`kombu.messaging.failure`).

    Raises:
        ValueError: no failure policy has that name.
    """

    ContentDisallowed = ContentDisallowed

    channel: Any = None
    no_ack: bool | None = None
    auto_declare: bool = True
    callbacks: list[Callable[[Any, Any], object]] | None = None
    on_message: Callable[[Any], object] | None = None
    on_decode_error: Callable[[Any, BaseException], object] | None = None
    accept: Iterable[str] | None = None
    prefetch_count: int | None = None
    failure_policy: str = "manual"

    _hooks: Chain = chain_of()

    def __init__(
        self,
        channel: Any,
        queues: Queue | Iterable[Queue] | None = None,
        no_ack: bool | None = None,
        auto_declare: bool | None = None,
        callbacks: list[Callable[[Any, Any], object]] | None = None,
        on_decode_error: Callable[[Any, BaseException], object] | None = None,
        on_message: Callable[[Any], object] | None = None,
        accept: Iterable[str] | None = None,
        prefetch_count: int | None = None,
        tag_prefix: str | None = None,
        failure_policy: str | None = None,
    ) -> None:
        self.channel = channel
        self._queues: dict[str, Queue] = {}
        self._active_tags: dict[str, str] = {}
        self.no_ack = self.no_ack if no_ack is None else no_ack
        self.callbacks = (self.callbacks or []) if callbacks is None else callbacks
        if on_message is not None:
            self.on_message = on_message
        if on_decode_error is not None:
            self.on_decode_error = on_decode_error
        if auto_declare is not None:
            self.auto_declare = auto_declare
        self.tag_prefix = tag_prefix
        self.accept = prepare_accept_content(accept)
        self.prefetch_count = prefetch_count
        if failure_policy is not None:
            self.failure_policy = failure_policy
        self._policy = policy_named(self.failure_policy)
        # By name; while they have none, by number, so that several may be unnamed.
        for number, queue in enumerate(maybe_list(queues) or ()):
            self._queues[queue.name or f"\0{number}"] = queue
        if self.channel is not None:
            self.revive(self.channel)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.queues}>"

    def __enter__(self) -> Consumer:
        self.consume()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        client = client_of(self.channel)
        lost = () if client is None else client.connection_errors
        # A wait without a message is no loss of the connection, though it may count as one.
        if isinstance(exc_val, lost) and not isinstance(exc_val, TimeoutError):
            # The consumers went with the connection.
            self._active_tags.clear()
        else:
            self.cancel()

    @property
    def queues(self) -> list[Queue]:
        """The queues, bound to the channel; also those not consumed from at the moment."""
        return list(self._queues.values())

    @property
    def connection(self) -> Any:
        """The connection of the channel; ``None`` when it has none (any more)."""
        return client_of(self.channel)

    def revive(self, channel: Any) -> None:
        """Go on with another channel: queues are declared and the prefetch limit set again.

        Nothing is consumed before :meth:`consume`.
        """
        self._active_tags.clear()
        self.channel = channel_of(channel)
        self._hooks = chain_of(self.channel)
        self._queues = {name: queue(self.channel) for name, queue in self._queues.items()}
        if self.auto_declare:
            self.declare()
        if self.prefetch_count is not None:
            self.qos(prefetch_count=self.prefetch_count)

    def declare(self) -> None:
        """Declare the queues, with their exchanges and bindings."""
        for queue in self._queues.values():
            queue.declare()
        self._queues = {queue.name or name: queue for name, queue in self._queues.items()}

    def register_callback(self, callback: Callable[[Any, Any], object]) -> None:
        """Add a callback, called with (decoded body, message)."""
        if self.callbacks is None:
            self.callbacks = []
        self.callbacks.append(callback)

    def add_queue(self, queue: Queue) -> Queue:
        """Add a queue; :meth:`consume` begins to consume from it.

        Returns:
            the queue, bound to the channel.
        """
        queue = queue(self.channel)
        if self.auto_declare:
            queue.declare()
        self._queues[queue.name] = queue
        return queue

    def consume(self, no_ack: bool | None = None) -> None:
        """Consume from all queues that aren't consumed from yet.

        Arguments:
            no_ack: messages need no acknowledgement; ``None``: as the consumer or, when that
                doesn't say, the queue does.
        """
        if no_ack is None:
            no_ack = self.no_ack
        idle = [queue for name, queue in self._queues.items() if name not in self._active_tags]
        for queue in idle:
            # One answer is enough: the broker answers in order.
            self._consume_from(queue, no_ack, nowait=queue is not idle[-1])

    def _consume_from(self, queue: Queue, no_ack: bool | None, nowait: bool) -> None:
        tag = self._active_tags[queue.name] = f"{self.tag_prefix}{next(_tag_numbers)}"
        receive = self._receive_callback if self._policy is None else self._receive_by_policy
        try:
            queue.consume(tag, receive, no_ack=no_ack, nowait=nowait)
        except BaseException:
            del self._active_tags[queue.name]
            raise

    def cancel(self) -> None:
        """Stop consuming; the queues stay known, and :meth:`consume` begins again.

        Messages that were delivered and not acknowledged stay so.
        """
        tags = list(self._active_tags.values())
        self._active_tags.clear()
        for tag in tags:
            self.channel.basic_cancel(tag)

    close = cancel

    def cancel_by_queue(self, queue: Any) -> None:
        """Stop consuming from one queue, and forget it.

        Arguments:
            queue: a :class:`~kombu.Queue` or a name; an unknown one is no error.
        """
        name = queue.name if isinstance(queue, Queue) else queue
        self._queues.pop(name, None)
        tag = self._active_tags.pop(name, None)
        if tag is not None:
            self.channel.basic_cancel(tag)

    def consuming_from(self, queue: Any) -> bool:
        """Whether it consumes from ``queue``, a :class:`~kombu.Queue` or a name."""
        name = queue.name if isinstance(queue, Queue) else queue
        return name in self._active_tags

    def purge(self) -> int:
        """Delete the waiting messages of all queues.

        Returns:
            how many there were.
        """
        return sum(queue.purge() for queue in self._queues.values())

    def flow(self, active: bool) -> None:
        """Pause deliveries to the channel, or go on (AMQP 0-9-1, channel.flow).

        Not every broker knows this; a prefetch limit does.
        """
        self.channel.flow(active)

    def qos(
        self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False
    ) -> Any:
        """Limit how much is delivered before it is acknowledged (AMQP 0-9-1, basic.qos).

        Arguments:
            prefetch_size: bytes; 0 is no limit (RabbitMQ knows no other).
            prefetch_count: messages; 0 is no limit.
            apply_global: for all consumers of the channel together, not for each.
        """
        return self.channel.basic_qos(prefetch_size, prefetch_count, apply_global)

    def recover(self, requeue: bool = False) -> Any:
        """Have unacknowledged messages delivered again (AMQP 0-9-1, basic.recover).

        Arguments:
            requeue: to any consumer, not only to this one (RabbitMQ knows only this).
        """
        return self.channel.basic_recover(requeue=requeue)

    def receive(self, body: Any, message: Any) -> None:
        """Hand a decoded message to the callbacks.

        Raises:
            NotImplementedError: there are none.
        """
        if not self.callbacks:
            raise NotImplementedError("Consumer does not have any callbacks")
        for callback in self.callbacks:
            callback(body, message)

    def _receive_by_policy(self, message: Any) -> None:
        assert self._policy is not None
        self._policy(self._to_python(message), self._receive_callback)

    def _to_python(self, message: Any) -> Any:
        to_python = getattr(self.channel, "message_to_python", None)
        return message if to_python is None else to_python(message)

    def _receive_callback(self, message: Any, hooked: bool = False) -> Any:
        if not isinstance(message, Message):
            message = self._to_python(message)
        if self.accept is not None:
            message.accept = self.accept
        hooks = self._hooks.deliver
        if hooks is not None and not hooked:
            return hooks(self._delivery(message), self._handle)
        if message.errors:
            return self._undecodable(message, _first_error(message))
        if self.on_message is not None:
            return self.on_message(message)
        try:
            body = message.decode()
        except Exception as exc:  # noqa: BLE001 - decoders are the user's, they raise anything
            return self._undecodable(message, exc)
        return self.receive(body, message)

    def _delivery(self, message: Any) -> Delivery:
        channel = self.channel
        tag = message.delivery_info.get("consumer_tag")
        queue = None
        for name, each in self._active_tags.items():
            if each == tag:
                queue = name
                break
        no_ack = channel.needs_no_ack(tag)
        return Delivery(message, queue, channel.connection.client, self._hooks, False, no_ack)

    def _handle(self, delivery: Delivery) -> Any:
        """What all hooks stand around."""
        try:
            return self._receive_callback(delivery.message, hooked=True)
        except BaseException as exc:
            delivery.error = exc
            raise

    def _undecodable(self, message: Any, exc: BaseException) -> Any:
        if self.on_decode_error is None:
            raise exc
        return self.on_decode_error(message, exc)


def _first_error(message: Any) -> BaseException:
    """What went wrong when the message was read; kept as ``sys.exc_info()`` gives it."""
    error: BaseException = message.errors[0][1]
    return error
