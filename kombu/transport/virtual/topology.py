"""Exchanges, queues and bindings of one broker, with AMQP's rules about them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kombu.transport.virtual.errors import not_found, precondition_failed, resource_locked
from kombu.transport.virtual.policy import QueuePolicy, unused
from kombu.transport.virtual.routing import MATCHERS, DirectMatcher, HeadersMatcher, Matcher
from kombu.transport.virtual.state import BindingTable, BrokerState
from kombu.transport.virtual.store import QueueSpec, TopologyStore


class ExchangeRef(NamedTuple):
    """An exchange as the destination of a binding."""

    name: str


class QueueRecord:
    """A queue this broker knows: how it was declared, who owns and who consumes it.

    Arguments:
        owner: the connection an exclusive queue belongs to.
    """

    __slots__ = ("consumers", "had_consumers", "last_used", "owner", "policy", "spec")

    def __init__(self, spec: QueueSpec, policy: QueuePolicy | None, owner: Any) -> None:
        self.spec = spec
        self.policy = policy
        self.owner = owner
        #: One token per consumer, in the order they came.
        self.consumers: dict[Any, None] = {}
        self.had_consumers = False
        self.last_used = time.monotonic()


class _Binding(NamedTuple):
    exchange: str
    routing_key: str
    arguments: Mapping[str, Any] | None
    row: tuple[Any, ...] | None


class Topology:
    """The entities of one broker; shared by all its connections, safe for use by threads.

    Arguments:
        state: the recorded face of it, kept up to date.
        vhost: its name, for messages.
        shared: where other clients keep bindings and types, if the backend can.
    """

    def __init__(
        self,
        state: BrokerState | None = None,
        vhost: str = "/",
        shared: TopologyStore | None = None,
    ) -> None:
        self.state = BrokerState() if state is None else state
        self.vhost = vhost
        self.shared = shared
        self.lock = threading.RLock()
        self.queues: dict[str, QueueRecord] = {}
        self._matchers: dict[str, Matcher] = {}
        self._bound: dict[str | ExchangeRef, dict[Any, _Binding]] = {}
        self._detours = False
        #: Whether any queue has a maximum length.
        self.bounded = False
        #: Whether any queue has an ``x-expires``.
        self.expiring = False
        #: Time (monotonic) before which none of these can have outlived its time.
        self.outlives_at = float("inf")
        self._read: dict[str, tuple[Sequence[tuple[str, str, str]], Matcher]] = {}

    def clear(self) -> None:
        """Forget all."""
        with self.lock:
            self.state.clear()
            self.queues.clear()
            self._matchers.clear()
            self._bound.clear()
            self._read.clear()
            self._detours = False

    # ---- exchanges

    def declare_exchange(
        self,
        name: str,
        type: str,
        durable: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        internal: bool = False,
    ) -> None:
        """Add an exchange that is not there yet."""
        with self.lock:
            record: dict[str, Any] = {
                "type": type,
                "durable": durable,
                "auto_delete": auto_delete,
                "arguments": arguments or {},
                "table": BindingTable(),
            }
            if internal:
                record["internal"] = True
            self._matchers[name] = MATCHERS.get(type, DirectMatcher)()
            self.state.exchanges[name] = record
            if (arguments or {}).get("alternate-exchange"):
                self._detours = True
        if self.shared is not None:
            self.shared.declare_exchange(name, type)

    def exchange_type(self, name: str) -> str | None:
        """The type of an exchange, if this client or, where shared, another declared it."""
        record = self.state.exchanges.get(name)
        if record is not None:
            return str(record["type"])
        return self.shared.exchange_type(name) if self.shared is not None else None

    def require_exchange(self, name: str, method: str) -> None:
        """Raise NotFound for an exchange nobody declared."""
        if name and name not in self.state.exchanges and self.exchange_type(name) is None:
            raise not_found("exchange", name, self.vhost, method)

    def delete_exchange(self, name: str, if_unused: bool = False) -> None:
        """Remove an exchange and its bindings; queues stay. As RabbitMQ: a missing one is fine.

        Raises:
            PreconditionFailed: 406; ``if_unused``, and it has bindings.
        """
        with self.lock:
            if if_unused and self._is_source(name):
                raise precondition_failed(
                    f"exchange {name!r} in vhost {self.vhost!r} in use", "Exchange.delete"
                )
            self._drop_exchange(name)

    def _is_source(self, name: str) -> bool:
        if any(binding.exchange == name for _, binding in self._all_bindings()):
            return True
        return self.shared is not None and bool(self.shared.bindings(name))

    def _drop_exchange(self, name: str) -> None:
        for destination, binding in list(self._all_bindings()):
            if binding.exchange == name:
                self.unbind(
                    destination, name, binding.routing_key, binding.arguments, keep_source=True
                )
        self._unbind_all(ExchangeRef(name))
        self.state.exchanges.pop(name, None)
        self._matchers.pop(name, None)
        self._read.pop(name, None)
        if self.shared is not None:
            self.shared.delete_exchange(name)

    # ---- bindings

    def _all_bindings(self) -> Iterator[tuple[str | ExchangeRef, _Binding]]:
        for destination, bindings in self._bound.items():
            for binding in bindings.values():
                yield destination, binding

    def bind(
        self,
        destination: str | ExchangeRef,
        exchange: str,
        routing_key: str,
        arguments: Mapping[str, Any] | None = None,
        row: tuple[Any, ...] | None = None,
    ) -> bool:
        """Add a binding; whether it is a new one.

        Arguments:
            row: what the exchange type keeps in the table, for bindings of queues.
        """
        with self.lock:
            key = (exchange, routing_key, _frozen(arguments))
            bindings = self._bound.setdefault(destination, {})
            if key in bindings:
                return False
            bindings[key] = _Binding(exchange, routing_key, arguments, row)
            matcher = self._matchers.get(exchange)
            if matcher is None:
                matcher = self._matchers[exchange] = MATCHERS.get(
                    self.exchange_type(exchange) or "direct", DirectMatcher
                )()
            matcher.add(routing_key, destination, arguments)
            if isinstance(destination, ExchangeRef):
                self._detours = True
            else:
                self.state.binding_declare(destination, exchange, routing_key, arguments)
                record = self.state.exchanges.get(exchange)
                if record is not None and row is not None:
                    record["table"].append(row)
            return True

    def unbind(
        self,
        destination: str | ExchangeRef,
        exchange: str,
        routing_key: str,
        arguments: Mapping[str, Any] | None = None,
        keep_source: bool = False,
    ) -> None:
        """Remove a binding; unknown ones are ignored.

        An auto-delete exchange goes with the last binding it is the source of, unless
        ``keep_source``.
        """
        with self.lock:
            bindings = self._bound.get(destination, {})
            binding = bindings.pop((exchange, routing_key, _frozen(arguments)), None)
            if binding is None:
                return
            if not bindings:
                self._bound.pop(destination, None)
            matcher = self._matchers.get(exchange)
            # Bound by the same key with other arguments, it stays bound.
            same = any(
                other.exchange == exchange and other.routing_key == routing_key
                for other in bindings.values()
            )
            if matcher is not None and (not same or isinstance(matcher, HeadersMatcher)):
                matcher.remove(routing_key, destination, binding.arguments)
            record = self.state.exchanges.get(exchange)
            if not same and not isinstance(destination, ExchangeRef):
                self.state.binding_delete(destination, exchange, routing_key)
                if record is not None and binding.row is not None:
                    record["table"].discard(binding.row)
                    if self.shared is not None:
                        key, pattern, queue = binding.row
                        self.shared.unbind(exchange, key or "", pattern or "", queue)
            if (
                record is not None
                and record["auto_delete"]
                and not keep_source
                and not self._is_source(exchange)
            ):
                self._drop_exchange(exchange)

    def _unbind_all(self, destination: str | ExchangeRef) -> None:
        for binding in list(self._bound.get(destination, {}).values()):
            self.unbind(destination, binding.exchange, binding.routing_key, binding.arguments)

    def bindings_of(self, destination: str | ExchangeRef) -> list[tuple[str, str]]:
        """``(exchange, routing key)`` of every binding of a queue (or exchange)."""
        return [
            (binding.exchange, binding.routing_key)
            for binding in self._bound.get(destination, {}).values()
        ]

    # ---- routing

    def route(
        self, exchange: str, routing_key: str, headers: Mapping[str, Any] | None = None
    ) -> Sequence[str]:
        """Queues a message goes to: each once, through exchange bindings and alternates."""
        if not self._detours:
            return self._match(exchange, routing_key, headers)
        queues: dict[str, None] = {}
        seen: set[str] = set()
        pending = [exchange]
        while pending:
            name = pending.pop(0)
            if name in seen:
                continue
            seen.add(name)
            found = self._match(name, routing_key, headers)
            for destination in found:
                if isinstance(destination, ExchangeRef):
                    pending.append(destination.name)
                else:
                    queues[destination] = None
            if not found:
                arguments = self.state.exchanges.get(name, {}).get("arguments") or {}
                alternate = arguments.get("alternate-exchange")
                if alternate:
                    pending.append(alternate)
        return tuple(queues)

    def _match(
        self, exchange: str, routing_key: str, headers: Mapping[str, Any] | None
    ) -> tuple[Any, ...]:
        if not exchange:
            return (routing_key,)
        matcher = self._matchers.get(exchange)
        found = matcher.match(routing_key, headers) if matcher is not None else ()
        if self.shared is None or isinstance(matcher, HeadersMatcher):
            return found
        # The backend's word counts for queues: other clients may have bound and unbound.
        shared = self._shared_matcher(exchange).match(routing_key, headers)
        if not shared and self.shared.refresh():
            shared = self._shared_matcher(exchange).match(routing_key, headers)
        return (*shared, *(each for each in found if isinstance(each, ExchangeRef)))

    def lost(self, exchange: str, routing_key: str, headers: Mapping[str, Any] | None) -> bool:
        """Whether a message that reaches no queue would, had the backend not lost bindings."""
        matcher = self._matchers.get(exchange)
        if self.shared is None or matcher is None:
            return False
        return bool(matcher.match(routing_key, headers))

    def _shared_matcher(self, exchange: str) -> Matcher:
        assert self.shared is not None
        rows = self.shared.bindings(exchange)
        known = self._read.get(exchange)
        if known is not None and (known[0] is rows or known[0] == rows):
            return known[1]
        matcher = MATCHERS.get(self.exchange_type(exchange) or "direct", DirectMatcher)()
        for routing_key, _, queue in rows:
            matcher.add(routing_key or "", queue)
        self._read[exchange] = (rows, matcher)
        return matcher

    # ---- queues

    def declare_queue(self, spec: QueueSpec, owner: Any) -> QueueRecord:
        """Note a queue, or start its idle time anew when it is known.

        Raises:
            ValueError: a queue argument can't be used.
        """
        with self.lock:
            record = self.queues.get(spec.name)
            if record is None:
                record = QueueRecord(
                    spec, QueuePolicy.of(spec.arguments), owner if spec.exclusive else None
                )
                self.queues[spec.name] = record
                if record.policy is not None and record.policy.bounded:
                    self.bounded = True
                if record.policy is not None and record.policy.expires is not None:
                    self.expiring = True
                    self.outlives_at = min(
                        self.outlives_at, record.last_used + record.policy.expires
                    )
            record.last_used = time.monotonic()
            return record

    def policy(self, queue: str) -> QueuePolicy | None:
        """What the queue's arguments demand, as far as they are known here."""
        record = self.queues.get(queue)
        if record is not None:
            return record.policy
        if self.shared is not None:
            arguments = self.shared.queue_arguments(queue)
            if arguments:
                return QueuePolicy.of(arguments)
        return None

    def require_access(self, queue: str, owner: Any, method: str) -> QueueRecord | None:
        """The queue's record, if any.

        Raises:
            ResourceLocked: 405; it is exclusive to another connection.
        """
        record = self.queues.get(queue)
        if record is not None and record.owner is not None and record.owner is not owner:
            raise resource_locked(queue, self.vhost, method)
        return record

    def forget_queue(self, queue: str) -> None:
        """Drop a queue's record and bindings."""
        with self.lock:
            self.queues.pop(queue, None)
            self._unbind_all(queue)
            self.state.queue_bindings_delete(queue)

    def owned_by(self, owner: Any) -> list[str]:
        """Names of the exclusive queues of a connection."""
        with self.lock:
            return [name for name, record in self.queues.items() if record.owner is owner]

    def outlived(self, only: str | None = None) -> list[str]:
        """Names of the queues whose ``x-expires`` has passed."""
        now = time.monotonic()
        if only is not None:
            record = self.queues.get(only)
            return [only] if record is not None and _outlived(record, now) else []
        if now < self.outlives_at:
            return []
        outlived: list[str] = []
        with self.lock:
            self.outlives_at = float("inf")
            for name, record in self.queues.items():
                if _outlived(record, now):
                    outlived.append(name)
                elif record.policy is not None and record.policy.expires is not None:
                    since = now if record.consumers else record.last_used
                    self.outlives_at = min(self.outlives_at, since + record.policy.expires)
        return outlived


def _outlived(record: QueueRecord, now: float) -> bool:
    policy = record.policy
    return policy is not None and unused(policy, record.last_used, len(record.consumers), now)


def _frozen(arguments: Mapping[str, Any] | None) -> Any:
    return tuple(sorted((str(key), repr(value)) for key, value in (arguments or {}).items()))


TopologyFactory = Callable[[], Topology]
