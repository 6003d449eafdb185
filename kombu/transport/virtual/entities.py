"""Exchange, queue and binding verbs of a virtual channel."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from amqp.protocol import queue_declare_ok_t

from kombu.transport.virtual.errors import (
    NotEquivalentError,
    ProtocolWarning,
    not_found,
    precondition_failed,
    resource_locked,
)
from kombu.transport.virtual.store import QueueSpec, Store
from kombu.transport.virtual.topology import ExchangeRef, QueueRecord
from kombu.utils.uuid import uuid

Arguments = Mapping[str, Any] | None

#: What a declaration says of a queue. py-amqp's defaults differ from AMQP's for auto_delete only.
_PROPERTIES = ("durable", "exclusive", "auto_delete", "arguments")

#: Feature -> the queue arguments that ask for it. A queue that stays costs no message.
_DEMANDS = {
    "message_ttl": ("x-message-ttl",),
    "max_length": ("x-max-length",),
    "max_length_bytes": ("x-max-length-bytes",),
    "dead_letter": ("x-dead-letter-exchange",),
}


class EntityVerbs:
    """What a channel does to declare and delete; mixed into :class:`~.channel.Channel`."""

    connection: Any
    topology: Any
    strict: bool
    exchange_types: Mapping[str, Any]

    def _complain(self, text: str, method: str, error: Exception | None = None) -> None:
        """Refuse under ``strict``, else warn."""
        if self.strict:
            raise error or precondition_failed(text, method)
        warnings.warn(text, ProtocolWarning, stacklevel=4)

    # ---- exchanges

    def exchange_declare(
        self,
        exchange: str | None = None,
        type: str = "direct",
        durable: bool = False,
        auto_delete: bool = False,
        arguments: Arguments = None,
        nowait: bool = False,
        passive: bool = False,
        internal: bool = False,
    ) -> None:
        """Declare an exchange (AMQP 0-9-1, 1.7.2.1).

        Arguments:
            exchange: without a name: ``amq.<type>``.
            passive: only ask whether it is there.

        Raises:
            NotFound: 404; ``passive``, and it is not there.
            NotEquivalentError: 406; it is there with other properties.
            ChannelError: its type is not known.
        """
        self._require_open("Exchange.declare")
        type = type or "direct"
        exchange = exchange or f"amq.{type}"
        topology = self.topology
        if passive:
            topology.require_exchange(exchange, "Exchange.declare")
            return
        kind = self.exchange_types.get(type)
        if kind is None:
            text = (
                f"unknown exchange type {type!r}; known: {', '.join(sorted(self.exchange_types))}"
            )
            raise precondition_failed(text, "Exchange.declare")
        with topology.lock:
            known = topology.state.exchanges.get(exchange)
            if known is None:
                topology.declare_exchange(exchange, type, durable, auto_delete, arguments, internal)
                return
        if not kind.equivalent(known, exchange, type, durable, auto_delete, arguments):
            raise NotEquivalentError(
                f"Cannot redeclare exchange {exchange!r} in vhost {topology.vhost!r} with "
                "different type, durable, autodelete or arguments value.",
                None,
                "Exchange.declare",
            )

    def exchange_delete(self, exchange: str, if_unused: bool = False, nowait: bool = False) -> None:
        """Delete an exchange and its bindings; queues stay (AMQP 0-9-1, 1.7.2.3).

        Raises:
            PreconditionFailed: 406; ``if_unused``, and it has bindings.
        """
        self._require_open("Exchange.delete")
        self.topology.delete_exchange(exchange, if_unused)

    def exchange_bind(
        self,
        destination: str,
        source: str = "",
        routing_key: str = "",
        nowait: bool = False,
        arguments: Arguments = None,
    ) -> None:
        """Let messages of exchange ``source`` flow on to ``destination`` (a RabbitMQ extension).

        Raises:
            NotFound: 404; one of the two is not declared.
        """
        self._require_open("Exchange.bind")
        self.topology.require_exchange(source, "Exchange.bind")
        self.topology.require_exchange(destination, "Exchange.bind")
        self.topology.bind(ExchangeRef(destination), source, routing_key, arguments)

    def exchange_unbind(
        self,
        destination: str,
        source: str = "",
        routing_key: str = "",
        nowait: bool = False,
        arguments: Arguments = None,
    ) -> None:
        """Undo :meth:`exchange_bind`; an unknown binding is ignored."""
        self._require_open("Exchange.unbind")
        self.topology.unbind(ExchangeRef(destination), source, routing_key, arguments)

    def get_exchanges(self) -> list[str]:
        """Names of the exchanges declared."""
        return list(self.topology.state.exchanges)

    def list_bindings(self) -> Iterator[tuple[str, str, str]]:
        """``(queue, exchange, routing_key)`` of all bindings."""
        state = self.topology.state
        for exchange in list(state.exchanges):
            for routing_key, _, queue in self.get_table(exchange):
                yield queue, exchange, routing_key

    # ---- queues

    def queue_declare(
        self, queue: str | None = None, passive: bool = False, **kwargs: Any
    ) -> queue_declare_ok_t:
        """Declare a queue (AMQP 0-9-1, 1.7.2.1).

        Arguments:
            queue: without a name one is made up: ``amq.gen-...``.
            passive: only ask whether it is there.
            kwargs: ``durable``, ``exclusive``, ``auto_delete``, ``arguments``, ``nowait``.

        Returns:
            ``(queue, message_count, consumer_count)``; ready messages only.

        Raises:
            NotFound: 404; ``passive``, and it is not there.
            ResourceLocked: 405; it is exclusive to another connection.
            PreconditionFailed: 406; an argument can't be used, or, under ``strict``, it is
                there with other properties (else a warning; it stays as it was).
        """
        self._require_open("Queue.declare")
        queue = queue or f"amq.gen-{uuid()}"
        self._expire_queues(queue)
        topology = self.topology
        if passive:
            if not self._has_queue(queue, **kwargs):
                raise not_found("queue", queue, topology.vhost, "Queue.declare")
            record = topology.require_access(queue, self.connection, "Queue.declare")
        else:
            if kwargs.get("exclusive"):
                self._take_over(queue)
            record = topology.require_access(queue, self.connection, "Queue.declare")
            spec = QueueSpec(
                queue,
                bool(kwargs.get("durable", False)),
                bool(kwargs.get("exclusive", False)),
                bool(kwargs.get("auto_delete", False)),
                dict(kwargs.get("arguments") or {}),
            )
            if record is not None:
                self._compare(record.spec, spec, kwargs)
            else:
                self._warn_unsupported(spec)
            try:
                record = topology.declare_queue(spec, self.connection)
            except ValueError as exc:
                raise precondition_failed(str(exc), "Queue.declare") from exc
            self._new_queue(queue, **kwargs)
        consumers = len(record.consumers) if record is not None else 0
        return queue_declare_ok_t(queue, self._size(queue), consumers)

    def _take_over(self, queue: str) -> None:
        """Make a queue that is exclusive to another connection ours, where 5.7 let both have it.

        Applications that connect anew without closing the old connection rely on it.
        """
        record = self.topology.queues.get(queue)
        if record is None or record.owner in (None, self.connection):
            return
        self._complain(
            f"queue {queue!r} was exclusive to another connection and is this one's now",
            "Queue.declare",
            resource_locked(queue, self.topology.vhost, "Queue.declare"),
        )
        record.owner = self.connection

    def _compare(self, known: QueueSpec, spec: QueueSpec, given: Mapping[str, Any]) -> None:
        if not self.strict and not any(name in given for name in _PROPERTIES):
            return  # only asks how the queue is; 5.7's users do
        differing = [
            name
            for name in _PROPERTIES
            if (name in given or name != "auto_delete")
            and getattr(known, name) != getattr(spec, name)
        ]
        if differing:
            name = differing[0]
            self._complain(
                f"inequivalent arg {name!r} for queue {spec.name!r} in vhost "
                f"{self.topology.vhost!r}: declared with {getattr(known, name)!r}, now "
                f"{getattr(spec, name)!r}; it stays as it was",
                "Queue.declare",
            )

    def _warn_unsupported(self, spec: QueueSpec) -> None:
        """Tell of arguments that demand what this transport can't do."""
        features = self.store.features
        for feature, arguments in _DEMANDS.items():
            if getattr(features, feature):
                continue
            ignored = [name for name in arguments if name in spec.arguments]
            if ignored and self.connection.first_time(("ignored", spec.name, feature)):
                warnings.warn(
                    f"queue {spec.name!r}: this transport ignores {', '.join(ignored)}",
                    ProtocolWarning,
                    stacklevel=4,
                )

    def queue_delete(
        self, queue: str, if_unused: bool = False, if_empty: bool = False, **kwargs: Any
    ) -> int:
        """Delete a queue with its messages and bindings (AMQP 0-9-1, 1.7.2.9).

        Returns:
            the number of messages that were in it; 0 when it is not there.

        Raises:
            PreconditionFailed: 406; ``if_unused`` and it has consumers, or ``if_empty`` and it
                has messages.
            ResourceLocked: 405; it is exclusive to another connection.
        """
        self._require_open("Queue.delete")
        record: QueueRecord | None = self.topology.require_access(
            queue, self.connection, "Queue.delete"
        )
        if if_unused and record is not None and record.consumers:
            raise precondition_failed(f"queue {queue!r} in use", "Queue.delete")
        size = self._size(queue)
        if if_empty and size:
            raise precondition_failed(f"queue {queue!r} is not empty", "Queue.delete")
        self._remove_queue(queue)
        return size

    def _remove_queue(self, queue: str) -> None:
        """Delete without conditions; consumers of it are cancelled."""
        self.connection.cancel_consumers_of(queue)
        bindings = self.topology.bindings_of(queue) or [("", queue)]
        for exchange, routing_key in bindings:
            kind = self.typeof(exchange)
            row = kind.prepare_bind(queue, exchange, routing_key, None)
            self._delete(queue, exchange, *row[:2])
        self.topology.forget_queue(queue)

    def queue_purge(self, queue: str, **kwargs: Any) -> int:
        """Drop the ready messages of a queue and return their number (AMQP 0-9-1, 1.7.2.7)."""
        self._require_open("Queue.purge")
        self._require_queue(queue, "Queue.purge")
        return self._purge(queue) or 0

    def _require_queue(self, queue: str, method: str) -> QueueRecord | None:
        """Its record; 405 when it is another's, and under ``strict`` 404 when it is not there."""
        record: QueueRecord | None = self.topology.queues.get(queue)
        if record is not None and (record.policy is not None or record.owner is not None):
            if record.policy is not None:
                self._expire_queues(queue)
            record = self.topology.require_access(queue, self.connection, method)
        if self.strict and record is None and not self._has_queue(queue):
            raise not_found("queue", queue, self.topology.vhost, method)
        return record

    def queue_bind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Arguments = None,
        **kwargs: Any,
    ) -> None:
        """Bind a queue to an exchange (AMQP 0-9-1, 1.7.2.3).

        Raises:
            NotFound: 404; the exchange is not declared (under ``strict``, nor the queue).
            ResourceLocked: 405; the queue is exclusive to another connection.
        """
        self._require_open("Queue.bind")
        self._require_queue(queue, "Queue.bind")
        exchange = exchange or "amq.direct"
        if exchange == "amq.direct" and exchange not in self.topology.state.exchanges:
            self.exchange_declare(exchange, "direct", durable=True)
        self.topology.require_exchange(exchange, "Queue.bind")
        kind = self.typeof(exchange)
        row = kind.prepare_bind(queue, exchange, routing_key, arguments)
        if not self.topology.bind(queue, exchange, routing_key, arguments, row) and (
            self.topology.shared is None
        ):
            return
        key, pattern, _ = row
        self._queue_bind(exchange, key, pattern, queue)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        """Hook: keep a binding where other clients see it.

        Arguments:
            pattern: what the exchange type made of the routing key; ``None`` for most.
        """
        shared = self.topology.shared
        if shared is not None:
            shared.bind(exchange, routing_key or "", pattern or "", queue)

    def queue_unbind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Arguments = None,
        **kwargs: Any,
    ) -> None:
        """Undo :meth:`queue_bind`; an unknown binding is ignored."""
        self._require_open("Queue.unbind")
        exchange = exchange or "amq.direct"
        self.topology.unbind(queue, exchange, routing_key, arguments)
        shared = self.topology.shared
        if shared is not None:
            row = self.typeof(exchange).prepare_bind(queue, exchange, routing_key, arguments)
            shared.unbind(exchange, row[0] or "", row[1] or "", queue)
        if self.connection.fanout is not None:
            self.connection.fanout.unbind(exchange, queue)

    def _expire_queues(self, only: str | None = None) -> list[str]:
        """Delete queues that outlived their ``x-expires``, where that is for us; their names.

        Not on stores that are shared: who uses a queue in another process is not known here.
        """
        features = self.store.features
        if not features.queue_expiry or "queue_expiry" in features.native:
            return []
        gone: list[str] = self.topology.outlived(only)
        for name in gone:
            self._remove_queue(name)
        return gone

    if TYPE_CHECKING:  # hooks and parts of the channel that these verbs call
        store: Store

        def _require_open(self, method: str) -> None: ...
        def _has_queue(self, queue: str, **kwargs: Any) -> bool: ...
        def _new_queue(self, queue: str, **kwargs: Any) -> None: ...
        def _size(self, queue: str) -> int: ...
        def _purge(self, queue: str) -> int: ...
        def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None: ...
        def get_table(self, exchange: str) -> Iterable[Any]: ...
        def typeof(self, exchange: str, default: str = "direct") -> Any: ...
