"""What hooks are told: one class a hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from kombu.exceptions import ContentDisallowed, DecodeError

if TYPE_CHECKING:
    from kombu.middleware.chain import Chain

__all__ = ("Declaration", "Delivery", "Notice", "Publishing", "Reconnection", "Settlement")

Action = Literal["ack", "reject", "requeue"]


class Publishing:
    """One message on its way to the broker, serialized and compressed.

    What a hook changes here is what is sent, also when the publish is retried.
    """

    __slots__ = (
        "batched",
        "body",
        "connection",
        "content_encoding",
        "content_type",
        "exchange",
        "headers",
        "priority",
        "properties",
        "routing_key",
    )

    def __init__(
        self,
        body: Any,
        content_type: str,
        content_encoding: str,
        exchange: str,
        routing_key: str,
        headers: dict[str, Any],
        properties: dict[str, Any],
        priority: int | None,
        batched: bool,
        connection: Any,
    ) -> None:
        #: Serialized body, bytes or text.
        self.body = body
        self.content_type = content_type
        self.content_encoding = content_encoding
        #: Name of the exchange; ``""`` is the default one.
        self.exchange = exchange
        self.routing_key = routing_key
        #: Application headers; may be added to.
        self.headers = headers
        #: AMQP properties (``message_id``, ``correlation_id``, ...); may be added to.
        self.properties = properties
        self.priority = priority
        #: Whether it is gathered into a batch, and leaves with that.
        self.batched = batched
        #: The :class:`kombu.Connection`.
        self.connection = connection


class Delivery:
    """One message that arrived, from before it is decoded until its handler returns."""

    __slots__ = ("chain", "connection", "error", "message", "no_ack", "pulled", "queue", "span")

    def __init__(
        self,
        message: Any,
        queue: str | None,
        connection: Any,
        chain: Chain,
        pulled: bool = False,
        no_ack: bool = False,
    ) -> None:
        #: The :class:`kombu.Message`.
        self.message = message
        if chain.settle is not None and not no_ack:
            message.settling = self
        #: Name of the queue it came from.
        self.queue = queue
        #: Whether it was asked for (``Queue.get``), so that no handler is called.
        self.pulled = pulled
        #: Whether it counts as acknowledged from the start.
        self.no_ack = no_ack
        #: The :class:`kombu.Connection`.
        self.connection = connection
        #: What the handler raised, or decoding did; kept when a middleware inside dealt with it.
        self.error: BaseException | None = None
        self.chain = chain
        #: The span of its processing, for the spans of what follows from it.
        self.span: Any = None

    @property
    def needs_settling(self) -> bool:
        """Whether it is neither settled nor from a consumer without acknowledgements."""
        return not self.no_ack and not self.message.acknowledged

    def settle(self, action: Action, flag: bool) -> None:
        """Settle its message through the hooks; the message calls this."""
        hooks = self.chain.settle
        if hooks is None:
            self.message._settle(action, flag)
        else:
            hooks(Settlement(self, action, flag), _settle)


class Settlement:
    """A message that is acknowledged, rejected or given back."""

    __slots__ = ("_flag", "action", "delivery", "message")

    def __init__(self, delivery: Delivery, action: Action, flag: bool) -> None:
        self.delivery = delivery
        self.message = delivery.message
        self._flag = flag
        #: ``"ack"``, ``"reject"`` (discarded or dead-lettered) or ``"requeue"``.
        self.action = action

    @property
    def multiple(self) -> bool:
        """Whether all deliveries before it on its channel are acknowledged as well."""
        return self._flag and self.action == "ack"


def _settle(settlement: Settlement) -> None:
    """What all hooks stand around: what the call of the message asked for."""
    settlement.message._settle(settlement.action, settlement._flag)


class Declaration:
    """An exchange or queue that is declared, with its bindings."""

    __slots__ = ("connection", "entity")

    def __init__(self, entity: Any, connection: Any) -> None:
        #: The :class:`~kombu.Exchange` or :class:`~kombu.Queue`, bound to a channel.
        self.entity = entity
        self.connection = connection


class Reconnection:
    """An attempt to connect by a connection that was connected before."""

    __slots__ = ("connection",)

    def __init__(self, connection: Any) -> None:
        self.connection = connection


class Notice:
    """Something that the transport did by itself, counted.

    Arguments:
        kind: ``"lease_renewed"`` or ``"dead_lettered"``.
        queue: whose messages these were; ``None`` when of several.
        count: how many messages.
        reason: of dead letters: ``rejected``, ``expired``, ``maxlen``, ``delivery_limit``.
    """

    __slots__ = ("connection", "count", "kind", "queue", "reason")

    def __init__(
        self,
        kind: Literal["lease_renewed", "dead_lettered"],
        queue: str | None,
        count: int,
        connection: Any,
        reason: str | None = None,
    ) -> None:
        self.kind = kind
        self.queue = queue
        self.count = count
        self.connection = connection
        self.reason = reason


def needs_settling(message: Any) -> bool:
    """Whether a message is neither settled nor from a consumer without acknowledgements."""
    if message.acknowledged or message.channel is None:
        return False
    tag = message.delivery_info.get("consumer_tag")
    return tag is None or not message.channel.needs_no_ack(tag)


def is_undecodable(message: Any, error: BaseException) -> bool:
    """Whether an error says that a message can't be read, now or at another try."""
    return isinstance(error, (DecodeError, ContentDisallowed)) or bool(message.errors)
