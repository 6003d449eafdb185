"""Publishing messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

from kombu.entity import Exchange, Queue, maybe_delivery_mode
from kombu.entity.exchange import as_exchange
from kombu.middleware.chain import Chain, Hooks, chain_of
from kombu.middleware.events import Publishing
from kombu.utils.functional import ChannelPromise

from .attempts import Attempts
from .batch import DEFAULT_BATCH_SIZE, PendingBatch, ProducerBatch, publish_of
from .deadline import Deadline
from .declaration import declaration_key, maybe_declare
from .encoding import Encoded, encode, milliseconds
from .target import client_of, is_connection

OnReturn = Callable[[BaseException, str, str, Any], object]

#: (body, priority, headers, properties)
_Message = tuple[Encoded, "int | None", dict[str, Any], dict[str, Any]]

#: (exchange, routing key, mandatory, immediate, confirm timeout)
_Where = tuple[str, str, bool, bool, "float | None"]

_NO_LIMIT = Deadline(None)


class _Batches(threading.local):
    """Each thread's open batch."""

    pending: PendingBatch | None = None


class Producer(Attempts):
    """Publishes messages to an exchange.

    A producer, like its channel, is used by one thread at a time.

    Arguments:
        channel: a channel, or a connection, whose default channel is then opened at the first
            publish. ``None``: :meth:`revive` gives it one later.
        exchange: where messages go by default, an :class:`~kombu.Exchange` or a name.
        routing_key: their default routing key.
        serializer: name of the default serializer; ``None`` is JSON.
        auto_declare: declare the exchange at the first publish (default true).
        compression: name of the default compression; ``None`` is none.
        on_return: called with (exception, exchange, routing key, message) for each mandatory
            message that no queue took.
    """

    __module__ = "kombu.messaging"  # pickles are read by kombu 5.7 too, which looks for it there

    exchange: Exchange = None  # type: ignore[assignment]  # set by __init__; None as recorded
    routing_key: str = ""
    serializer: str | None = None
    compression: str | None = None
    auto_declare: bool = True
    on_return: OnReturn | None = None

    __connection__: Any = None

    def __init__(
        self,
        channel: Any,
        exchange: Any = None,
        routing_key: str | None = None,
        serializer: str | None = None,
        auto_declare: bool | None = None,
        compression: str | None = None,
        on_return: OnReturn | None = None,
    ) -> None:
        self._channel: Any = None
        self._local = _Batches()
        self._client: Any = None
        self._hooks: Chain = chain_of()
        self._keyed: Exchange | None = None
        self._key = 0
        self.exchange = as_exchange(self.exchange if exchange is None else exchange)
        self.routing_key = routing_key or self.routing_key
        self.serializer = serializer or self.serializer
        self.compression = compression or self.compression
        self.on_return = on_return or self.on_return
        if auto_declare is not None:
            self.auto_declare = auto_declare
        if channel is not None:
            self.revive(channel)

    def __repr__(self) -> str:
        return f"<Producer: {self._channel!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = (
            None,
            self.exchange,
            self.routing_key,
            self.serializer,
            self.auto_declare,
            self.compression,
        )
        return type(self), arguments

    def __enter__(self) -> Producer:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Hook of pools: give the producer back. It does nothing here."""

    def close(self) -> None:
        """Same as :meth:`release`; the channel stays open, it is another's."""
        self.release()

    def revive(self, channel: Any) -> None:
        """Go on with another channel, or with a connection's default channel."""
        if is_connection(channel):
            connection = self.__connection__ = channel
            self._hooks = chain_of(client=connection)
            channel = ChannelPromise(lambda: connection.default_channel)
        self._channel = channel
        if isinstance(channel, ChannelPromise):
            # Bound when the channel is there, for binding would open it.
            self.exchange = as_exchange(self.exchange)
        else:
            self._use(channel)

    def _use(self, channel: Any) -> None:
        self._channel = channel
        client = client_of(channel)
        if client is not None:
            self._client = client
            self._hooks = chain_of(client=client)
        exchange = self.exchange
        # Producers of a pool get the same channel again and again.
        if not (exchange.is_bound and exchange.channel is channel):
            self.exchange = exchange(channel)
        if self.on_return is not None:
            channel.events["basic_return"].add(self.on_return)

    @property
    def channel(self) -> Any:
        """The channel, opened now if it isn't yet."""
        channel = self._channel
        if isinstance(channel, ChannelPromise):
            channel = channel()
            self._use(channel)
        return channel

    @channel.setter
    def channel(self, channel: Any) -> None:
        self._channel = channel

    @property
    def connection(self) -> Any:
        """The connection of the channel; ``None`` when it has none (any more)."""
        if self.__connection__ is not None:
            return self.__connection__
        return client_of(self.channel)

    @property
    def supports_batch_publish(self) -> bool:
        """Whether the transport sends a batch in fewer round trips than messages."""
        return bool(getattr(self.channel, "supports_batch_publish", False))

    def declare(self) -> None:
        """Declare the exchange, if it has a name."""
        if self.exchange.name:
            if not self.exchange.is_bound:
                self.exchange = self.exchange(self.channel)
            self.exchange.declare()

    def maybe_declare(self, entity: Any, retry: bool = False, **retry_policy: Any) -> Any:
        """Declare an entity unless this connection has done so.

        Arguments:
            entity: an exchange or queue; nothing happens for ``None``.
            retry: connect again and retry when the connection is lost.
            **retry_policy: arguments of :meth:`kombu.Connection.ensure`.
        """
        if not entity:
            return None
        return maybe_declare(entity, self.channel, retry, **retry_policy)

    def batch(self, max_size: int = DEFAULT_BATCH_SIZE) -> ProducerBatch:
        """Gather publishes and send them together.

        ::

            with producer.batch(max_size=100) as batch:
                for body in bodies:
                    producer.publish(body)

        Inside the block, :meth:`publish` by this thread returns ``None``; messages leave when
        there are ``max_size`` of them, at :meth:`~ProducerBatch.flush`, and at the end of the
        block. When the block is left by an exception, messages that were not sent are dropped,
        with a warning that says how many. On transports without batches each message is
        published at once.

        Arguments:
            max_size: most messages sent at once.

        Raises:
            BatchPublishError: from whichever call did the sending; ``failed`` maps the index
                of each message of the batch (from 0, in order of publishing) that was not
                confirmed to the reason. All others that were sent are safe.
            ValueError: ``max_size`` is no positive integer.
        """
        return ProducerBatch(self, max_size)

    @property
    def pending_batch(self) -> PendingBatch | None:
        """What this thread's batch holds; ``None`` outside of one."""
        return self._local.pending

    @pending_batch.setter
    def pending_batch(self, pending: PendingBatch | None) -> None:
        self._local.pending = pending

    def publish(
        self,
        body: Any,
        routing_key: str | None = None,
        delivery_mode: Any = None,
        mandatory: bool = False,
        immediate: bool = False,
        priority: int | None = 0,
        content_type: str | None = None,
        content_encoding: str | None = None,
        serializer: str | None = None,
        headers: Mapping[str, Any] | None = None,
        compression: str | None = None,
        exchange: Any = None,
        retry: bool = False,
        retry_policy: Mapping[str, Any] | None = None,
        declare: list[Any] | None = None,
        expiration: float | None = None,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
        delay: float | None = None,
        **properties: Any,
    ) -> Any:
        """Publish one message (AMQP 0-9-1, basic.publish).

        Arguments:
            body: what to send, serialized unless ``content_type`` is given.
            routing_key: what bindings are matched with; by default the producer's.
            delivery_mode: ``"transient"``/1 or ``"persistent"``/2; by default the exchange's.
            mandatory: hand it to ``on_return`` when no queue takes it.
            immediate: hand it to ``on_return`` when no consumer can take it at once (RabbitMQ
                refuses this).
            priority: 0 to 9, higher first where the transport knows priorities.
            content_type: MIME type of a body that is serialized already.
            content_encoding: its character set.
            serializer: name of a serializer; by default the producer's.
            headers: application headers; not changed by this call.
            compression: name of a compression; by default the producer's.
            exchange: an :class:`~kombu.Exchange` or a name; by default the producer's. It is
                not declared unless it is in ``declare``.
            retry: connect again and publish again when the connection is lost. The message may
                then arrive twice.
            retry_policy: ``max_retries``, ``interval_start``, ``interval_step``,
                ``interval_max``, ``errback``, ``on_revive``, ``retry_errors`` as of
                :meth:`kombu.Connection.ensure`; also used for connecting.
            declare: exchanges and queues to declare first, once per connection.
            expiration: seconds after which it is dropped or dead-lettered if it still waits.
            timeout: seconds for the whole call, with connecting and retries.
            confirm_timeout: seconds to wait for the broker's confirm.
            delay: seconds it is held back before it is routed, by brokers that know the header
                ``x-delay`` (delayed-message exchanges of RabbitMQ, virtual transports).
            **properties: further AMQP properties: ``correlation_id``, ``reply_to`` (a name or a
                :class:`~kombu.Queue`), ``message_id``, ``timestamp``, ``type``, ``app_id``...

        Returns:
            what the channel returns; ``None`` inside :meth:`batch`.

        Raises:
            EncodeError: the body can't be serialized.
            ValueError: a time is no number or negative.
            OperationalError: the connection was lost, with ``retry``, ``retry_policy`` or
                ``timeout`` given.
        """
        headers = {} if headers is None else dict(headers)
        if compression is None:
            compression = self.compression
        encoded = encode(
            body,
            serializer or self.serializer,
            content_type,
            content_encoding,
            compression,
            headers,
        )
        if routing_key is None:
            routing_key = self.routing_key
        if not exchange:
            exchange_name, default_mode = self.exchange.name, self.exchange.delivery_mode
        elif isinstance(exchange, Exchange):
            exchange_name, default_mode = exchange.name, exchange.delivery_mode
        else:
            exchange_name, default_mode = exchange, None
        properties["delivery_mode"] = maybe_delivery_mode(delivery_mode or default_mode)
        if expiration is not None:
            properties["expiration"] = str(milliseconds(expiration, "expiration"))
        if delay is not None:
            headers["x-delay"] = milliseconds(delay, "delay")
        message = (encoded, priority, headers, properties)
        where = (exchange_name, routing_key, mandatory, immediate, confirm_timeout)
        hooks = self._hooks.publish
        if hooks is not None:
            return self._publish_hooked(
                hooks, message, where, declare, retry, retry_policy, timeout
            )
        return self._publish(message, where, declare, retry, retry_policy, timeout)

    def _publish_hooked(
        self,
        hooks: Hooks[Publishing],
        message: _Message,
        where: _Where,
        declare: Iterable[Any] | None,
        retry: bool,
        retry_policy: Mapping[str, Any] | None,
        timeout: float | None,
    ) -> Any:
        (body, content_type, content_encoding), priority, headers, properties = message
        exchange, routing_key, mandatory, immediate, confirm_timeout = where
        batched = self._local.pending is not None
        client = self.__connection__ or self._client

        def send(event: Publishing) -> Any:
            encoded = (event.body, event.content_type, event.content_encoding)
            message = (encoded, event.priority, event.headers, event.properties)
            where = (event.exchange, event.routing_key, mandatory, immediate, confirm_timeout)
            return self._publish(message, where, declare, retry, retry_policy, timeout)

        publishing = Publishing(
            body, content_type, content_encoding, exchange, routing_key, headers, properties,
            priority, batched, client,
        )  # fmt: skip
        return hooks(publishing, send)

    def _publish(
        self,
        message: _Message,
        where: _Where,
        declare: Iterable[Any] | None,
        retry: bool,
        retry_policy: Mapping[str, Any] | None,
        timeout: float | None,
    ) -> Any:
        """Send within limits of time and retries; tests of applications replace this."""
        if not retry and retry_policy is None and timeout is None:
            return self._send(self.channel, message, where, declare, _NO_LIMIT, None)
        deadline = Deadline(timeout)
        policy = dict(retry_policy or {}) if retry else None

        def attempt() -> Any:
            channel = self.connected_channel(retry_policy, deadline)
            return self._send(channel, message, where, declare, deadline, policy)

        return self.run(attempt, policy, deadline)

    def _send(
        self,
        channel: Any,
        message: _Message,
        where: _Where,
        declare: Iterable[Any] | None,
        deadline: Deadline,
        policy: Mapping[str, Any] | None,
    ) -> Any:
        (body, content_type, content_encoding), priority, headers, properties = message
        exchange, routing_key, mandatory, immediate, confirm_timeout = where
        if declare:
            for entity in declare:
                maybe_declare(entity, channel)
        if self.auto_declare and self.exchange.name:
            self._maybe_declare_exchange(channel)
        reply_to = properties.get("reply_to")
        if isinstance(reply_to, Queue):
            # Not before, for declaring it may have given it its name.
            properties["reply_to"] = reply_to.name
        prepared = channel.prepare_message(
            body,
            priority,
            content_type,
            content_encoding,
            headers,
            properties,
        )
        pending = self._local.pending
        if pending is None:
            return channel.basic_publish(
                prepared,
                exchange=exchange,
                routing_key=routing_key,
                mandatory=mandatory,
                immediate=immediate,
                timeout=None if deadline is _NO_LIMIT else deadline.left(),
                confirm_timeout=confirm_timeout,
            )
        publish = publish_of(prepared, exchange, routing_key, mandatory, immediate, confirm_timeout)
        return pending.add(publish, None if deadline is _NO_LIMIT else deadline.left(), policy)

    def _maybe_declare_exchange(self, channel: Any) -> None:
        exchange = self.exchange
        if self._keyed is not exchange:
            self._keyed, self._key = exchange, declaration_key(exchange)
        client = client_of(channel)
        if client is None or self._key not in client.declared_entities:
            maybe_declare(exchange, channel)
