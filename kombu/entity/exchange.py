"""Exchanges: what a message is published to (AMQP 0-9-1, exchange class)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kombu.abstract import MaybeChannelBound, Object
from kombu.middleware.chain import chain_of
from kombu.middleware.events import Declaration

from .bindings import binding as Binding
from .delivery_mode import (
    DELIVERY_MODES,
    INTERNAL_EXCHANGE_PREFIX,
    PERSISTENT_DELIVERY_MODE,
    TRANSIENT_DELIVERY_MODE,
    maybe_delivery_mode,
)


def exchange_name(exchange: Any) -> str:
    """The name of an exchange given as an :class:`Exchange` or as its name."""
    return exchange.name if isinstance(exchange, Exchange) else exchange


def channel_label(channel: Any) -> str:
    """How a channel is named in a repr."""
    number = getattr(channel, "channel_id", None)
    return repr(channel) if number is None else str(number)


def _number_if_named(mode: Any) -> Any:
    """A delivery mode's number; a name that is none is refused when something is published."""
    return DELIVERY_MODES.get(mode, mode) if isinstance(mode, str) else mode


class Exchange(MaybeChannelBound):
    """An exchange declaration.

    It names an exchange and says what it must be like; nothing is created before
    :meth:`declare`, which needs a channel (``exchange(channel)`` gives a bound copy).

    Arguments:
        name: its name; ``""`` is the broker's default exchange, which routes by queue name.
        type: ``"direct"``, ``"topic"``, ``"fanout"``, ``"headers"`` or one of the broker's own.
        channel: a channel or connection to bind to at once.
        durable: it outlives a restart of the broker (default true).
        auto_delete: it goes when its last binding goes.
        delivery_mode: what messages published to it get when they say nothing themselves:
            ``"transient"``/1 or ``"persistent"``/2; ``None`` is persistent.
        arguments: the broker's own arguments, e.g. ``{"alternate-exchange": "lost"}``.
        passive: :meth:`declare` only asks whether it exists.
        no_declare: :meth:`declare` does nothing.
    """

    __module__ = "kombu.entity"  # pickles are read by kombu 5.7 too, which looks for it there

    TRANSIENT_DELIVERY_MODE = TRANSIENT_DELIVERY_MODE
    PERSISTENT_DELIVERY_MODE = PERSISTENT_DELIVERY_MODE

    name: str = ""
    type: str = "direct"
    durable: bool = True
    auto_delete: bool = False
    passive: bool = False
    delivery_mode: int | None = None
    no_declare: bool = False
    arguments: dict[str, Any] | None

    attrs = (
        ("name", None),
        ("type", None),
        ("arguments", None),
        ("durable", bool),
        ("passive", bool),
        ("auto_delete", bool),
        ("delivery_mode", _number_if_named),
        ("no_declare", bool),
    )

    def __init__(self, name: str = "", type: str = "", channel: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name or self.name
        self.type = type or self.type
        self.maybe_bind(channel)

    def __hash__(self) -> int:
        return hash(f"E|{self.name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Exchange):
            return NotImplemented
        return self._identity() == other._identity()

    def _identity(self) -> tuple[Any, ...]:
        return (
            self.name,
            self.type,
            self.arguments,
            self.durable,
            self.auto_delete,
            self.delivery_mode,
        )

    def __str__(self) -> str:
        return f"Exchange {self.name or repr('')}({self.type})"

    def __repr__(self) -> str:
        if self.is_bound:
            return f"<{self} bound to chan:{channel_label(self.channel)}>"
        return f"<unbound {self}>"

    @property
    def can_cache_declaration(self) -> bool:
        """Whether declaring it once per connection is enough: not when it may go by itself."""
        return not self.auto_delete

    def _can_be_declared(self) -> bool:
        return bool(self.name) and not (
            self.no_declare or self.name.startswith(INTERNAL_EXCHANGE_PREFIX)
        )

    def declare(
        self, nowait: bool = False, passive: bool | None = None, channel: Any = None
    ) -> Any:
        """Create the exchange unless it exists (AMQP 0-9-1, exchange.declare).

        Nothing happens for the default exchange, for ``amq.*`` and with :attr:`no_declare`.

        Arguments:
            nowait: don't wait for the broker's answer.
            passive: only ask whether it exists; ``None`` takes :attr:`passive`.
            channel: used instead of the one it is bound to.

        Raises:
            NotBoundError: there is no channel.
            amqp.exceptions.NotFound: passive, and it does not exist.
            amqp.exceptions.PreconditionFailed: it exists with other properties.
        """
        if not self._can_be_declared():
            return None
        target = channel or self.channel
        hooks = chain_of(target).declare
        if hooks is None:
            return self._declare(nowait, passive, target)
        return hooks(
            Declaration(self, target.connection.client),
            lambda _: self._declare(nowait, passive, target),
        )

    def _declare(self, nowait: bool, passive: bool | None, channel: Any) -> Any:
        return channel.exchange_declare(
            exchange=self.name,
            type=self.type,
            durable=self.durable,
            auto_delete=self.auto_delete,
            arguments=self.arguments,
            nowait=nowait,
            passive=self.passive if passive is None else passive,
        )

    def bind_to(
        self,
        exchange: Any = "",
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        nowait: bool = False,
        channel: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Let messages of another exchange flow into this one (a RabbitMQ extension).

        Arguments:
            exchange: the source, an :class:`Exchange` or a name.
            routing_key: which of its messages.
            arguments: binding arguments, for a headers exchange.
            nowait: don't wait for the broker's answer.
            channel: used instead of the one it is bound to.
        """
        return (channel or self.channel).exchange_bind(
            destination=self.name,
            source=exchange_name(exchange),
            routing_key=routing_key,
            nowait=nowait,
            arguments=arguments,
        )

    def unbind_from(
        self,
        source: Any = "",
        routing_key: str = "",
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
        channel: Any = None,
    ) -> Any:
        """Undo :meth:`bind_to`; key and arguments must be those of the binding."""
        return (channel or self.channel).exchange_unbind(
            destination=self.name,
            source=exchange_name(source),
            routing_key=routing_key,
            nowait=nowait,
            arguments=arguments,
        )

    def Message(
        self,
        body: Any,
        delivery_mode: Any = None,
        properties: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """A message ready for :meth:`publish`, in the form its channel wants.

        Arguments:
            body: the encoded body.
            delivery_mode: as for the class; ``None`` takes the exchange's.
            properties: AMQP properties; not changed by this call.
            **kwargs: handed on to the channel: ``priority``, ``content_type``,
                ``content_encoding``, ``headers``.
        """
        mode = maybe_delivery_mode(delivery_mode, default=maybe_delivery_mode(self.delivery_mode))
        if isinstance(body, str):
            kwargs["content_encoding"] = "utf-8"
        return self.channel.prepare_message(
            body, properties={**(properties or {}), "delivery_mode": mode}, **kwargs
        )

    def publish(
        self,
        message: Any,
        routing_key: str | None = None,
        mandatory: bool = False,
        immediate: bool = False,
        exchange: Any = None,
    ) -> Any:
        """Publish a message (AMQP 0-9-1, basic.publish).

        Arguments:
            message: what :meth:`Message` gave, or an encoded body.
            routing_key: what bindings are matched with.
            mandatory: return it when no queue is bound for it.
            immediate: return it when no consumer can take it at once (RabbitMQ refuses this).
            exchange: publish to that one instead, an :class:`Exchange` or a name.
        """
        if isinstance(message, (str, bytes)):
            message = self.Message(message)
        return self.channel.basic_publish(
            message,
            exchange=exchange_name(exchange) if exchange else self.name,
            routing_key=routing_key,
            mandatory=mandatory,
            immediate=immediate,
        )

    def delete(self, if_unused: bool = False, nowait: bool = False) -> Any:
        """Delete the exchange (AMQP 0-9-1, exchange.delete).

        Arguments:
            if_unused: only when nothing is bound to it.
            nowait: don't wait for the broker's answer.

        Raises:
            amqp.exceptions.PreconditionFailed: it is in use, with ``if_unused``.
        """
        return self.channel.exchange_delete(exchange=self.name, if_unused=if_unused, nowait=nowait)

    def binding(
        self,
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
        unbind_arguments: dict[str, Any] | None = None,
    ) -> Binding:
        """A :class:`binding` to this exchange, for ``Queue(bindings=[...])``."""
        return Binding(self, routing_key, arguments, unbind_arguments)


def as_exchange(exchange: Any) -> Exchange:
    """An :class:`Exchange`, given as such, as its name, or as nothing (the default exchange)."""
    if isinstance(exchange, Exchange):
        return exchange
    if exchange is None or isinstance(exchange, str):
        return Exchange(exchange or "")
    if isinstance(exchange, Object) or not isinstance(exchange, Mapping):
        raise TypeError(f"exchange must be an Exchange or a name, not {exchange!r}")
    return Exchange(**exchange)
