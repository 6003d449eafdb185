"""Queues: where messages wait (AMQP 0-9-1, queue class)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kombu.abstract import MaybeChannelBound
from kombu.exceptions import ContentDisallowed
from kombu.message import Message
from kombu.middleware.chain import Chain, chain_of
from kombu.middleware.events import Declaration, Delivery
from kombu.serialization import prepare_accept_content

from .bindings import binding, pretty_bindings
from .exchange import Exchange, as_exchange, channel_label, exchange_name

OnDeclared = Callable[[str, int, int], object]


class Queue(MaybeChannelBound):
    """What a queue shall be, and how messages get into it (AMQP 0-9-1, 1.7).

    An instance is a plain description: it can be compared, copied, pickled and turned into a
    dict. ``queue(channel)`` gives a copy on which the verbs (declare, get, purge ...) work.

    Arguments:
        name: empty where the broker is to invent one; :meth:`declare` then fills it in.
        exchange: source of its messages, an :class:`Exchange` or just its name. The default
            exchange (an empty name) reaches every queue unasked, under the queue's name. A
            list here means ``bindings``.
        routing_key: selects messages of ``exchange``; what it means depends on the type.
        channel: bind the new object to this channel right away.
        bindings: any number of :class:`binding`, in place of ``exchange``/``routing_key``.
        on_declared: hook, called as ``hook(name, message_count, consumer_count)``.
        durable: kept by the broker through its own restarts.
        exclusive: belongs to the declaring connection alone and ends with it (so it is
            ``auto_delete`` as well).
        auto_delete: removed once the last of its consumers has gone.
        no_ack: deliveries count as acknowledged from the start.
        queue_arguments: extra table of queue.declare, such as ``{"x-queue-type": "quorum"}``.
        binding_arguments: extra table of queue.bind; headers exchanges match by it.
        consumer_arguments: extra table of basic.consume, such as ``{"x-priority": 3}``.
        expires: lifetime in seconds of a queue that nobody uses.
        message_ttl: lifetime in seconds of a message that nobody has taken.
        max_length: limit on the number of waiting messages.
        max_length_bytes: limit on the sum of their bodies, in bytes.
        max_priority: number of priorities the queue distinguishes.
        alias: a second name that the application may give it; has no effect here.
        no_declare: leave declaring to others: :meth:`declare` then returns at once.
    """

    __module__ = "kombu.entity"  # pickles are read by kombu 5.7 too, which looks for it there

    ContentDisallowed = ContentDisallowed

    name: str = ""
    exchange: Exchange | None = Exchange("")
    routing_key: str = ""
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    no_ack: bool = False
    alias: str | None
    queue_arguments: dict[str, Any] | None
    binding_arguments: dict[str, Any] | None
    consumer_arguments: dict[str, Any] | None
    bindings: set[binding]
    no_declare: bool | None
    expires: float | None
    message_ttl: float | None
    max_length: int | None
    max_length_bytes: int | None
    max_priority: int | None
    on_declared: OnDeclared | None

    #: The middleware of its channel's connection, once it was needed.
    _hooks: Chain | None = None

    attrs = (
        ("name", None),
        ("exchange", None),
        ("routing_key", None),
        ("queue_arguments", None),
        ("binding_arguments", None),
        ("consumer_arguments", None),
        ("durable", bool),
        ("exclusive", bool),
        ("auto_delete", bool),
        ("no_ack", None),
        ("alias", None),
        ("bindings", list),
        ("no_declare", bool),
        ("expires", float),
        ("message_ttl", float),
        ("max_length", int),
        ("max_length_bytes", int),
        ("max_priority", int),
    )

    def __init__(
        self,
        name: str = "",
        exchange: Any = None,
        routing_key: str = "",
        channel: Any = None,
        bindings: Iterable[binding] | None = None,
        on_declared: OnDeclared | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(exchange, binding):
            exchange = [exchange]
        if isinstance(exchange, (list, tuple, set, frozenset)):
            bindings, exchange = [*exchange, *(bindings or ())], None
        self.name = name or self.name
        self.routing_key = routing_key or self.routing_key
        self.bindings = _checked_bindings(bindings or ())
        self.exchange = None if self.bindings else as_exchange(exchange)
        self.on_declared = on_declared
        if self.exclusive:
            self.auto_delete = True
        self.maybe_bind(channel)

    def __hash__(self) -> int:
        return hash(f"Q|{self.name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Queue):
            return NotImplemented
        return self._identity() == other._identity()

    def _identity(self) -> tuple[Any, ...]:
        return (
            self.name,
            self.exchange,
            self.routing_key,
            self.bindings,
            self.queue_arguments,
            self.binding_arguments,
            self.consumer_arguments,
            self.durable,
            self.exclusive,
            self.auto_delete,
        )

    def _ordered_bindings(self) -> list[binding]:
        """The bindings in an order that is the same in every process."""
        return sorted(self.bindings, key=lambda each: repr(each.as_dict(recurse=True)))

    def __repr__(self) -> str:
        if self.bindings:
            text = f"Queue {self.name} -> {pretty_bindings(self.bindings)}"
        else:
            text = f"Queue {self.name} -> {self.exchange!r} -> {self.routing_key or ''}"
        if self.is_bound:
            return f"<{text} bound to chan:{channel_label(self.channel)}>"
        return f"<unbound {text}>"

    __str__ = __repr__

    def bind(self, channel: Any) -> Queue:
        """A copy of this queue bound to a channel (or to a connection's default channel)."""
        bound: Queue = super().bind(channel)
        bound.on_declared = self.on_declared
        return bound

    def when_bound(self) -> None:
        """Bind the exchange to the same channel."""
        self._hooks = None
        if self.exchange is not None:
            self.exchange = self.exchange(self.channel)

    @property
    def can_cache_declaration(self) -> bool:
        """Whether declaring it once per connection is enough: not when it may go by itself."""
        return not (
            self.auto_delete
            or self.expires
            or (self.queue_arguments and "x-expires" in self.queue_arguments)
        )

    def declare(self, nowait: bool = False, channel: Any = None) -> str:
        """Declare exchange, queue and bindings, each unless it exists.

        Arguments:
            nowait: don't wait for the broker's answers.
            channel: used instead of the one it is bound to.

        Returns:
            the queue's name.

        Raises:
            NotBoundError: there is no channel.
            amqp.exceptions.PreconditionFailed: one exists with other properties.
            amqp.exceptions.ResourceLocked: another connection has it exclusively.
        """
        if self.no_declare:
            return self.name
        target = channel or self.channel
        hooks = chain_of(target).declare
        if hooks is None:
            return self._declare(nowait, channel)
        declaration = Declaration(self, target.connection.client)
        hooks(declaration, lambda _: self._declare(nowait, channel))
        return self.name

    def _declare(self, nowait: bool, channel: Any) -> str:
        if self.exchange is not None:
            self.exchange.declare(nowait=nowait, channel=channel)
        self.queue_declare(nowait=nowait, passive=False, channel=channel)
        if self.exchange is not None and self.exchange.name:
            self.queue_bind(nowait=nowait, channel=channel)
        for each in self._ordered_bindings():
            each.declare(channel or self.channel, nowait=nowait)
            each.bind(self, channel=channel, nowait=nowait)
        return self.name

    def queue_declare(
        self, nowait: bool = False, passive: bool = False, channel: Any = None
    ) -> Any:
        """Declare only the queue (AMQP 0-9-1, queue.declare).

        Arguments:
            nowait: don't wait for the broker's answer.
            passive: only ask whether it exists.
            channel: used instead of the one it is bound to.

        Returns:
            (name, number of messages, number of consumers), or ``None`` with ``nowait``.

        Raises:
            amqp.exceptions.NotFound: passive, and it does not exist.
        """
        channel = channel or self.channel
        arguments = channel.prepare_queue_arguments(
            self.queue_arguments or {},
            expires=self.expires,
            message_ttl=self.message_ttl,
            max_length=self.max_length,
            max_length_bytes=self.max_length_bytes,
            max_priority=self.max_priority,
        )
        declared = channel.queue_declare(
            queue=self.name,
            passive=passive,
            durable=self.durable,
            exclusive=self.exclusive,
            auto_delete=self.auto_delete,
            arguments=arguments,
            nowait=nowait,
        )
        if declared is None:
            return None
        if not self.name:
            self.name = declared[0]
        if self.on_declared is not None:
            self.on_declared(*declared)
        return declared

    def queue_bind(self, nowait: bool = False, channel: Any = None) -> Any:
        """Bind the queue to its exchange (AMQP 0-9-1, queue.bind)."""
        return self.bind_to(
            self.exchange, self.routing_key, self.binding_arguments, nowait=nowait, channel=channel
        )

    def bind_to(
        self,
        exchange: Any = "",
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        nowait: bool = False,
        channel: Any = None,
    ) -> Any:
        """Bind the queue to an exchange.

        Arguments:
            exchange: an :class:`Exchange` or a name.
            routing_key: which of its messages.
            arguments: for a headers exchange.
            nowait: don't wait for the broker's answer.
            channel: used instead of the one it is bound to.
        """
        return (channel or self.channel).queue_bind(
            queue=self.name,
            exchange=exchange_name(exchange),
            routing_key=routing_key,
            arguments=arguments,
            nowait=nowait,
        )

    def queue_unbind(
        self,
        arguments: Mapping[str, Any] | None = None,
        nowait: bool = False,
        channel: Any = None,
    ) -> Any:
        """Undo :meth:`queue_bind`."""
        return self.unbind_from(self.exchange, self.routing_key, arguments, nowait, channel)

    def unbind_from(
        self,
        exchange: Any = "",
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        nowait: bool = False,
        channel: Any = None,
    ) -> Any:
        """Undo :meth:`bind_to`; key and arguments must be those of the binding."""
        return (channel or self.channel).queue_unbind(
            queue=self.name,
            exchange=exchange_name(exchange),
            routing_key=routing_key,
            arguments=arguments,
            nowait=nowait,
        )

    def get(self, no_ack: bool | None = None, accept: Iterable[str] | None = None) -> Any:
        """Take one message now (AMQP 0-9-1, basic.get).

        Arguments:
            no_ack: it needs no acknowledgement; ``None`` takes :attr:`no_ack`.
            accept: content types or serializer names it may have; others raise
                :exc:`ContentDisallowed` when it is decoded.

        Returns:
            a :class:`~kombu.Message`, or ``None`` when the queue is empty.
        """
        channel = self.channel
        no_ack = self.no_ack if no_ack is None else no_ack
        hooks = self._hooks
        if hooks is None:
            hooks = self._hooks = chain_of(channel)
        while True:
            message = channel.basic_get(queue=self.name, no_ack=no_ack)
            if message is None:
                return None
            if not isinstance(message, Message):
                to_python = getattr(channel, "message_to_python", None)
                if to_python is not None:
                    message = to_python(message)
            message.accept = prepare_accept_content(accept)
            if hooks.deliver is None:
                if message.errors:
                    message._reraise_error()
                return message
            client = channel.connection.client
            delivery = Delivery(message, self.name, client, hooks, True, bool(no_ack))
            message = hooks.deliver(delivery, _pulled)
            if message is not None:
                return message

    def purge(self, nowait: bool = False) -> int:
        """Delete the waiting messages; those held by consumers stay.

        Returns:
            how many there were (0 with ``nowait``).
        """
        return self.channel.queue_purge(queue=self.name, nowait=nowait) or 0

    def consume(
        self,
        consumer_tag: str = "",
        callback: Callable[[Any], object] | None = None,
        no_ack: bool | None = None,
        nowait: bool = False,
        on_cancel: Callable[[str], object] | None = None,
    ) -> Any:
        """Start a consumer (AMQP 0-9-1, basic.consume).

        Arguments:
            consumer_tag: its name on this channel; ``""`` lets the broker choose.
            callback: called with each message.
            no_ack: messages need no acknowledgement; ``None`` takes :attr:`no_ack`.
            nowait: don't wait for the broker's answer.
            on_cancel: called with the tag when the broker ends the consumer.
        """
        return self.channel.basic_consume(
            queue=self.name,
            no_ack=self.no_ack if no_ack is None else no_ack,
            consumer_tag=consumer_tag or "",
            callback=callback,
            nowait=nowait,
            arguments=self.consumer_arguments,
            on_cancel=on_cancel,
        )

    def cancel(self, consumer_tag: str) -> Any:
        """End the consumer of that tag (AMQP 0-9-1, basic.cancel)."""
        return self.channel.basic_cancel(consumer_tag)

    def delete(self, if_unused: bool = False, if_empty: bool = False, nowait: bool = False) -> Any:
        """Delete the queue (AMQP 0-9-1, queue.delete).

        Arguments:
            if_unused: only when it has no consumers.
            if_empty: only when no messages wait in it.
            nowait: don't wait for the broker's answer.

        Raises:
            amqp.exceptions.PreconditionFailed: it is in use or not empty, and that was asked.
        """
        return self.channel.queue_delete(
            queue=self.name, if_unused=if_unused, if_empty=if_empty, nowait=nowait
        )

    def as_dict(self, recurse: bool = False) -> dict[str, Any]:
        """Its attributes by name.

        Arguments:
            recurse: exchange and bindings as dicts too.
        """
        attributes = super().as_dict(recurse)
        bindings = self._ordered_bindings()
        attributes["bindings"] = (
            [each.as_dict(recurse=True) for each in bindings] if recurse else bindings
        )
        return attributes

    @classmethod
    def from_dict(cls, queue: str, **options: Any) -> Queue:
        """A queue from the flat options Celery's and Carrot's settings use.

        Arguments:
            queue: its name.
            **options: attributes of the queue; ``exchange``, ``exchange_type``,
                ``exchange_arguments`` and ``delivery_mode`` for the exchange; ``binding_key``
                before ``routing_key``; ``durable`` and ``auto_delete`` for both, or each with
                ``queue_`` or ``exchange_`` before it. Others are not looked at.
        """

        def of(entity: str, name: str) -> Any:
            own = options.get(f"{entity}_{name}")
            return options.get(name) if own is None else own

        exchange = options.get("exchange")
        if exchange is None or isinstance(exchange, str):
            exchange = Exchange(
                exchange or "",
                type=options.get("exchange_type") or "",
                delivery_mode=options.get("delivery_mode"),
                durable=of("exchange", "durable"),
                auto_delete=of("exchange", "auto_delete"),
                arguments=options.get("exchange_arguments"),
            )
        explicit = {"name", "exchange", "routing_key", "durable", "auto_delete"}
        rest = {
            name: options[name]
            for name, _ in cls.attrs
            if name not in explicit and options.get(name) is not None
        }
        return cls(
            queue,
            exchange=exchange,
            routing_key=options.get("binding_key") or options.get("routing_key") or "",
            durable=of("queue", "durable"),
            auto_delete=of("queue", "auto_delete"),
            on_declared=options.get("on_declared"),
            **rest,
        )


def _pulled(delivery: Delivery) -> Any:
    """What all hooks stand around when a message is asked for."""
    if delivery.message.errors:
        delivery.error = delivery.message.errors[0][1]
        delivery.message._reraise_error()
    return delivery.message


def _checked_bindings(bindings: Iterable[Any]) -> set[binding]:
    checked = set()
    for each in bindings:
        if not isinstance(each, binding):
            raise TypeError(f"bindings must be binding objects, not {type(each).__name__}")
        checked.add(each)
    return checked
