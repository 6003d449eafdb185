"""Publishing verbs of a virtual channel: envelope, routing, storing, returning."""

from __future__ import annotations

import itertools
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from amqp.exceptions import ChannelError, MessageNacked, error_for_code

from kombu.exceptions import BatchPublishError
from kombu.transport.base import Publish
from kombu.transport.virtual import policy as policies
from kombu.transport.virtual.envelope import clamp_priority
from kombu.transport.virtual.errors import UndeliverableWarning, channel_closed
from kombu.transport.virtual.exchange_types import (
    STANDARD_EXCHANGE_TYPES,
    ExchangeType,
    FanoutExchange,
)
from kombu.transport.virtual.hooks import overrides
from kombu.transport.virtual.store import Envelope, PartialPutError, Put, QueueFull, Store
from kombu.utils.loggers import get_logger

logger = get_logger(__name__)


class _Tags:
    """Delivery tags: texts like random UUIDs that no other process makes.

    72 random bits name the process, 48 count its messages.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew, in a forked child."""
        head = os.urandom(9).hex()
        form = f"{head[:8]}-{head[8:12]}-4{head[12:15]}-a{head[15:]}-%012x"
        self.next = map(form.__mod__, itertools.count()).__next__


_tags = _Tags()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tags.renew)

_STANDARD = frozenset(STANDARD_EXCHANGE_TYPES.values())
_PLAIN = _STANDARD - {FanoutExchange}
_UNDELIVERABLE = (
    "Message could not be delivered: No queues bound to exchange {exchange!r} "
    "using binding key {routing_key!r}."
)


class PublishVerbs:
    """What a channel does to publish; mixed into :class:`~.channel.Channel`."""

    closed: bool
    body_encoding: str | None
    codecs: Mapping[str, Any]
    deadletter_queue: str | None
    default_priority: int
    min_priority: int
    max_priority: int
    exchange_types: Mapping[str, Any]
    strict: bool
    connection: Any
    topology: Any
    events: Any

    # ---- envelope

    def encode_body(self, body: Any, encoding: str | None = None) -> tuple[Any, str | None]:
        """The body as it is stored, and the encoding to record for it."""
        codec = self.codecs.get(encoding) if encoding else None
        return (codec.encode(body) if codec is not None else body), encoding

    def decode_body(self, body: Any, encoding: str | None = None) -> Any:
        """The body as it was before :meth:`encode_body`.

        Raises:
            ValueError: the encoding is not known here.
        """
        if not encoding:
            return body
        codec = self.codecs.get(encoding)
        if codec is not None:
            return codec.decode(body)
        try:
            return body.encode(encoding) if isinstance(body, str) else body
        except LookupError:
            raise ValueError(f"unknown body_encoding {encoding!r} of a message") from None

    def prepare_message(
        self,
        body: Any,
        priority: int | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
    ) -> Envelope:
        """The envelope of a serialized body."""
        properties = {} if properties is None else properties
        properties.setdefault("delivery_info", {})
        properties.setdefault("priority", self.default_priority if priority is None else priority)
        return {
            "body": body,
            "content-encoding": content_encoding,
            "content-type": content_type,
            "headers": headers or {},
            "properties": properties,
        }

    def _inplace_augment_message(self, message: Envelope, exchange: str, routing_key: str) -> None:
        """Encode the body, and note where the message goes and its delivery tag."""
        properties = message["properties"]
        message["body"], properties["body_encoding"] = self.encode_body(
            message["body"], self.body_encoding
        )
        delivery_info = properties["delivery_info"]
        delivery_info["exchange"] = exchange
        delivery_info["routing_key"] = routing_key
        properties["delivery_tag"] = self._next_delivery_tag()

    @property
    def _delivery_tags(self) -> Iterator[str]:
        """New delivery tags, without end."""
        return iter(self._next_delivery_tag, None)

    def _next_delivery_tag(self) -> str:
        """A text no other message has, in the form of a UUID (version 4)."""
        return _tags.next()

    def _get_message_priority(self, message: Envelope, reverse: bool = False) -> int:
        """The message's priority within limits; ``reverse`` for backends where 0 comes first."""
        priority = clamp_priority(
            message["properties"].get("priority"),
            self.min_priority,
            self.max_priority,
            self.default_priority,
        )
        return self.max_priority - priority if reverse else priority

    # ---- routing

    def typeof(self, exchange: str, default: str = "direct") -> Any:
        """The exchange type object that routes for ``exchange``."""
        name = self.topology.exchange_type(exchange) or default
        types = self.exchange_types
        return types[name] if name in types else types[default]

    def get_table(self, exchange: str) -> Iterable[Any]:
        """Hook: the bindings of ``exchange``, ``(routing_key, pattern, queue)`` each."""
        shared = self.topology.shared
        if shared is not None:
            return list(shared.bindings(exchange))
        table: Iterable[Any] = self.topology.state.exchanges[exchange]["table"]
        return table

    def _lookup(
        self,
        exchange: str,
        routing_key: str,
        default: str | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> Sequence[str]:
        """Hook: the queues a message goes to.

        Arguments:
            default: where to send what nothing matches; the option ``deadletter_queue``.
        """
        if default is None:
            default = self.deadletter_queue
        if not exchange:
            return [routing_key or default or ""]
        kind: ExchangeType = self.typeof(exchange)
        if self._routes_by_table or type(kind) not in _STANDARD:
            try:
                table = self.get_table(exchange)
            except KeyError:
                table = ()
            queues: Sequence[str] = list(kind.lookup(table, exchange, routing_key, default) or ())
        else:
            queues = self.topology.route(exchange, routing_key, headers)
        if not queues and default is not None and kind.type != "topic":
            self._warn_unroutable(exchange, routing_key)
            self._new_queue(default)
            return [default]
        return queues

    @property
    def _routes_by_table(self) -> bool:
        """Whether the bindings are kept by an override of ``get_table``."""
        return getattr(self.get_table, "__func__", None) is not PublishVerbs.get_table

    def _warn_unroutable(self, exchange: str, routing_key: str) -> None:
        """Tell once per exchange and key that messages go nowhere."""
        if self.connection.first_time(("unroutable", exchange, routing_key)):
            warnings.warn(
                _UNDELIVERABLE.format(exchange=exchange, routing_key=routing_key),
                UndeliverableWarning,
                stacklevel=6,
            )

    # ---- publishing

    def basic_publish(
        self, message: Envelope, exchange: str, routing_key: str, **kwargs: Any
    ) -> None:
        """Publish; returns once the message is safe in all its queues.

        Arguments:
            mandatory: give the message to the callbacks in ``events["basic_return"]`` when
                no queue receives it; without any, raise.
            kwargs: handed on to the ``_put`` hook; ``confirm_timeout``, if it is not ``None``,
                has the effect of ``confirm_publish`` for this message.

        Raises:
            NotFound: 404, under ``strict``; the exchange is not declared.
            ChannelError: 312; ``mandatory``, no queue, and nobody to return it to.
            MessageNacked: a queue refused it (``x-overflow``), with ``confirm_publish``.
        """
        if self.closed:
            raise channel_closed("Basic.publish")
        exchange = exchange or ""
        if self.strict and exchange:
            self.topology.require_exchange(exchange, "Basic.publish")
        self._inplace_augment_message(message, exchange, routing_key)
        if not exchange:
            self._put_routed((routing_key,), message, kwargs)
            return
        kind = self.typeof(exchange)
        if type(kind) in _PLAIN:  # what their deliver() comes to
            queues = self._queues_for(message, exchange, routing_key, kwargs, kind)
            self._put_routed(queues, message, kwargs)
        else:
            kind.deliver(message, exchange, routing_key, **kwargs)

    def _deliver_routed(
        self, message: Envelope, exchange: str, routing_key: str, **kwargs: Any
    ) -> None:
        """What exchange types do by default: look up, then put into each queue."""
        queues = self._queues_for(message, exchange, routing_key, kwargs, self.typeof(exchange))
        self._put_routed(queues, message, kwargs)

    def _deliver_fanout(
        self, message: Envelope, exchange: str, routing_key: str, **kwargs: Any
    ) -> None:
        """What fanout exchanges do: through the backend's own, where there is one."""
        if self.supports_fanout:
            self._put_fanout(exchange, message, routing_key, **kwargs)
        else:
            self._deliver_routed(message, exchange, routing_key, **kwargs)

    def _put_fanout(
        self, exchange: str, message: Envelope, routing_key: str, **kwargs: Any
    ) -> None:
        """Hook: publish to all queues bound to a fanout exchange."""
        fanout = self.connection.fanout
        if fanout is None:
            self._deliver_routed(message, exchange, routing_key, **kwargs)
        elif fanout.publish(exchange, routing_key, message) == 0 and kwargs.get("mandatory"):
            self._return_message(message, exchange, routing_key)

    def _queues_for(
        self,
        message: Envelope,
        exchange: str,
        routing_key: str,
        kwargs: Mapping[str, Any],
        kind: Any,
    ) -> Sequence[str]:
        headers = message.get("headers")
        queues: Sequence[str]
        if getattr(self._lookup, "__func__", None) is not PublishVerbs._lookup:
            queues = self._lookup(exchange, routing_key)
        elif (
            self.deadletter_queue is None
            and type(kind) in _STANDARD
            and getattr(self.get_table, "__func__", None) is PublishVerbs.get_table
        ):
            queues = self.topology.route(exchange, routing_key, headers)  # as _lookup would
        else:
            queues = self._lookup(exchange, routing_key, None, headers)
        if not queues:
            if kwargs.get("mandatory"):
                self._return_message(message, exchange, routing_key)
            elif (
                self.deadletter_queue is not None
                or self.topology.exchange_type(exchange) is None
                or self.topology.lost(exchange, routing_key, headers)
            ):
                # Not for exchanges that nobody listens to: AMQP drops those messages in silence.
                self._warn_unroutable(exchange, routing_key)
        return queues

    def _return_message(self, message: Envelope, exchange: str, routing_key: str) -> None:
        """basic.return (AMQP 0-9-1, 1.8.3.6): 312 NO_ROUTE."""
        error = error_for_code(312, "NO_ROUTE", (60, 50), ChannelError)
        error.reply_code = 312
        callbacks = list(self.events.get("basic_return") or ())
        if not callbacks:
            error.reply_text = error.message = (
                f"NO_ROUTE - mandatory message to exchange {exchange!r} with routing key "
                f"{routing_key!r} reached no queue"
            )
            raise error
        returned = self.message_to_python(message)
        for callback in callbacks:
            callback(error, exchange, routing_key, returned)

    # ---- storing

    def _put(self, queue: str, message: Envelope, **kwargs: Any) -> None:
        self._store((self._put_of(queue, message),))

    def _store(self, puts: Sequence[Put]) -> None:
        if self.topology.bounded and self.connection.bounds is not None:
            self.connection.bounds.put(puts)
        else:
            self._backend.put(puts)

    def _put_of(self, queue: str, message: Envelope) -> Put:
        return policies.put_of(queue, message, self.topology.policy(queue), time.time())

    @property
    def _hooked_put(self) -> bool:
        """Whether a third party's ``_put`` has to see every message."""
        return getattr(self._put, "__func__", None) is not PublishVerbs._put

    def _put_routed(
        self, queues: Sequence[str], message: Envelope, kwargs: Mapping[str, Any]
    ) -> None:
        """Put one message into all its queues."""
        topology = self.topology
        if topology.expiring:
            gone = self._expire_queues()
            queues = [queue for queue in queues if queue not in gone]
        full: BaseException | None = None
        hooked = getattr(self._put, "__func__", None) is not PublishVerbs._put
        if len(queues) == 1 and not hooked:
            put = policies.put_of(queues[0], message, topology.policy(queues[0]), time.time())
            try:
                if topology.bounded:
                    self._store((put,))
                else:
                    self._backend.put((put,))
            except QueueFull as exc:
                full = exc
        elif hooked:
            for queue in queues:
                try:
                    self._put(queue, message, **kwargs)
                except QueueFull as exc:
                    full = exc
        elif queues:
            try:
                self._store([self._put_of(queue, message) for queue in queues])
            except PartialPutError as exc:
                for error in exc.failed.values():
                    if not isinstance(error, QueueFull):
                        raise error from exc
                    full = error
        if topology.bounded:
            self.connection.sweep(self)
        if full is not None:
            self._refused(full, kwargs.get("confirm_timeout") is not None)

    def _refused(self, error: BaseException, confirm: bool) -> None:
        if self.confirm_publish or confirm:
            raise MessageNacked(str(error)) from error
        if self.connection.first_time(("full", str(error))):
            warnings.warn(f"{error}: message refused", UndeliverableWarning, stacklevel=6)

    def basic_publish_many(
        self, publishes: Sequence[Publish], timeout: float | None = None
    ) -> None:
        """Publish messages in order, in as few round trips as the backend allows.

        Raises:
            BatchPublishError: some are not stored; ``failed``: index -> exception.
        """
        self._require_open("Basic.publish")
        if self._hooked_put or overrides(
            type(self), PublishVerbs, "basic_publish", "_put_fanout", "_deliver_routed"
        ):
            super().basic_publish_many(publishes, timeout)  # type: ignore[misc]
            return
        puts: list[Put] = []
        origin: list[int] = []
        failed: dict[int, BaseException] = {}
        known: dict[str, policies.QueuePolicy | None] = {}
        now = time.time()
        for index, (message, exchange, routing_key, options) in enumerate(publishes):
            try:
                kind = self.typeof(exchange) if exchange else None
                plain = kind is None or type(kind) in _STANDARD
                if not plain or (getattr(kind, "type", "") == "fanout" and self.connection.fanout):
                    self.basic_publish(message, exchange, routing_key, **options)
                    continue
                if self.strict and exchange:
                    self.topology.require_exchange(exchange, "Basic.publish")
                self._inplace_augment_message(message, exchange or "", routing_key)
                queues = (
                    self._queues_for(message, exchange, routing_key, options, kind)
                    if exchange
                    else (routing_key,)
                )
                for queue in queues:
                    if queue not in known:
                        known[queue] = self.topology.policy(queue)
                    # What it refuses it refuses for every queue, so before the first is taken.
                    puts.append(policies.put_of(queue, message, known[queue], now))
                    origin.append(index)
            except (ChannelError, MessageNacked, ValueError) as exc:
                failed[index] = exc
        if puts:
            try:
                self._store(puts)
            except PartialPutError as exc:
                failed.update((origin[at], error) for at, error in exc.failed.items())
            except QueueFull as exc:
                failed[origin[0]] = exc
            if self.topology.bounded:
                self.connection.sweep(self)
        if failed:
            raise BatchPublishError(
                f"{len(failed)} of {len(publishes)} messages were refused", failed=failed
            )

    def _require_open(self, method: str) -> None:
        if self.closed:
            raise channel_closed(method)

    if TYPE_CHECKING:  # hooks and parts of the channel that these verbs call
        supports_fanout: bool
        confirm_publish: bool
        _backend: Store

        def _new_queue(self, queue: str, **kwargs: Any) -> None: ...
        def _expire_queues(self, only: str | None = None) -> list[str]: ...
        def message_to_python(self, raw_message: Any) -> Any: ...
