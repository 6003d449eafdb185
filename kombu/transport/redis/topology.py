"""Bindings, exchange types and queue arguments that all clients of a server share.

Binding tables are the published ones; types and arguments stand beside them (additive).
What was read is kept until the server announces that it changed, so that publishing costs
no look-up.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from redis import exceptions

from kombu.transport.redis.errors import mapped
from kombu.transport.redis.keys import Keyspace
from kombu.transport.redis.link import Command
from kombu.transport.redis.listener import INVALIDATE, Heard
from kombu.transport.redis.node import Node
from kombu.transport.redis.server import Server
from kombu.transport.redis.wake import LOST, Waker
from kombu.transport.virtual.store import TopologyStore
from kombu.utils.json import loads

#: Bindings of queues that expire outlive the queue by this factor, at least by an hour.
_EXPIRES_FACTOR = 2
_SHORTEST_TABLE_TTL = 3_600_000

_KEEP = 2000

#: Nothing is known.
MISSING: Any = object()

_REFRESH = """
redis.call('SADD', KEYS[1], ARGV[1])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local due = now + tonumber(ARGV[3])
if tonumber(redis.call('ZSCORE', KEYS[2], ARGV[2]) or 0) < due then
  redis.call('ZADD', KEYS[2], string.format('%.0f', due), ARGV[2])
end
"""


#: Deletes tables of bindings whose deadline has passed, as published peers do.
_SWEEP = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now),
  'LIMIT', 0, ARGV[3])
for _, exchange in ipairs(over) do
  if redis.call('EXISTS', ARGV[2] .. exchange) == 0 then redis.call('DEL', ARGV[1] .. exchange) end
  redis.call('ZREM', KEYS[1], exchange)
end
return #over
"""

_SWEEP_PAUSE = 60.0
_SWEEP_MOST = 100


class TrackedReads:
    """Values read from the server, kept until it announces their change.

    Arguments:
        server: where keys are read.
        waker: whose listeners hear the announcements.
        enabled: False: read each time.
    """

    def __init__(self, server: Server, waker: Waker, enabled: bool) -> None:
        self._server, self._waker, self._enabled = server, waker, enabled
        self._values: dict[bytes, tuple[Node, tuple[int, int], Any]] = {}
        self._lock = threading.RLock()
        waker.add_hearer(self._heard)

    def _heard(self, heard: Heard) -> bool:
        if heard is LOST or (heard.subscription == INVALIDATE and heard.data is None):
            self.clear()
            return False
        if heard.subscription != INVALIDATE:
            return False
        with self._lock:
            mine = [key for key in heard.data if self._values.pop(key, None) is not None]
            for key in mine:
                heard.data.remove(key)
        # A message about other keys is somebody else's too.
        return bool(mine) and not heard.data

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._values.clear()

    def forget(self, key: str) -> None:
        """Forget one value: this client has just changed it."""
        with self._lock:
            self._values.pop(key.encode("utf-8", "surrogatepass"), None)

    def fresh(self, key: str) -> Any:
        """What was read before and holds, else :data:`MISSING`; never goes to the server."""
        known = self._values.get(key.encode("utf-8", "surrogatepass"))
        if known is None:
            return MISSING
        node, tracking, _ = known
        self._waker.hear()
        if node.tracking != tracking:
            return MISSING
        # It may have been announced as changed just now.
        known = self._values.get(key.encode("utf-8", "surrogatepass"))
        return MISSING if known is None else known[2]

    def read(self, key: str, command: Command, parse: Callable[[Any], Any]) -> Any:
        """The parsed reply of a command that reads one key. Raises redis-py's exceptions."""
        value = self.fresh(key)
        if value is not MISSING:
            return value
        name = key.encode("utf-8", "surrogatepass")
        if not self._enabled:
            return parse(self._server.call(key, *command))
        node = self._server.node(key)
        if not node.listen():
            return parse(self._server.call(key, *command))
        tracking = node.tracking
        caching, reply = self._server.pipeline(
            [(key, ("CLIENT", "CACHING", "YES")), (key, command)]
        )
        if isinstance(reply, Exception):
            raise reply
        value = parse(reply)
        if tracking is None or node.tracking != tracking:
            # Read over another connection, which announces nothing yet.
            return value
        if isinstance(caching, Exception):
            raise caching
        with self._lock:
            while len(self._values) >= _KEEP:
                self._values.pop(next(iter(self._values)))
            self._values[name] = (node, tracking, value)
        return value


class Backend(NamedTuple):
    """What a topology works on."""

    server: Server
    keys: Keyspace
    reads: TrackedReads


class RedisTopology(TopologyStore):
    """Bindings in the published sets.

    Arguments:
        backend: the connection in use, made when first asked for.
    """

    def __init__(self, backend: Callable[[], Backend]) -> None:
        self._backend = backend
        self._expiring: dict[tuple[str, str, str, str], tuple[int, float]] = {}
        self._next_sweep = 0.0

    @property
    def _server(self) -> Server:
        return self._backend().server

    @property
    def _keys(self) -> Keyspace:
        return self._backend().keys

    @property
    def _reads(self) -> TrackedReads:
        return self._backend().reads

    def _member(self, routing_key: str, pattern: str, queue: str) -> str:
        return self._keys.sep.join([routing_key or "", pattern or "", queue or ""])

    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        member = self._member(routing_key, pattern, queue)
        table = self._keys.bindings(exchange)
        arguments = self.queue_arguments(queue) or {}
        expires = arguments.get("x-expires")
        with mapped(f"bind queue {queue!r} to exchange {exchange!r}"):
            if expires and not self._keys.tagged:
                ttl = max(int(expires) * _EXPIRES_FACTOR, _SHORTEST_TABLE_TTL)
                made = (exchange, routing_key, pattern, queue)
                self._expiring[made] = (ttl, time.monotonic() + ttl / 3000)
                self._server.call(
                    table, "EVAL", _REFRESH, 2, table, self._keys.deadlines, member, exchange, ttl
                )
            else:
                self._transaction(
                    table,
                    ("SADD", table, member),
                    ("SADD", self._keys.permanent_bindings(exchange), member),
                )
        self._reads.forget(table)

    def maintain(self) -> None:
        """For consumers, from time to time: keep our expiring bindings, drop overdue tables."""
        if not self._expiring:
            return
        now = time.monotonic()
        for (exchange, routing_key, pattern, queue), (_, due) in list(self._expiring.items()):
            if now < due:
                continue
            if self.queue_arguments(queue) is None:
                # It has expired: so will its binding.
                del self._expiring[exchange, routing_key, pattern, queue]
            else:
                self.bind(exchange, routing_key, pattern, queue)
        if now >= self._next_sweep:
            self._next_sweep = now + _SWEEP_PAUSE
            keys = self._keys
            with mapped("sweep bindings"):
                self._server.call(
                    keys.deadlines,
                    "EVAL",
                    _SWEEP,
                    1,
                    keys.deadlines,
                    keys.binding_prefix,
                    keys.permanent_prefix,
                    _SWEEP_MOST,
                )

    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        self._expiring.pop((exchange, routing_key, pattern, queue), None)
        member = self._member(routing_key, pattern, queue)
        table = self._keys.bindings(exchange)
        with mapped(f"unbind queue {queue!r} from exchange {exchange!r}"):
            self._transaction(
                table,
                ("SREM", table, member),
                ("SREM", self._keys.permanent_bindings(exchange), member),
            )
        self._reads.forget(table)

    def _transaction(self, key: str, *commands: Command) -> list[Any]:
        around = [(key, ("MULTI",)), *((key, command) for command in commands), (key, ("EXEC",))]
        replies = self._server.pipeline(around)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        for reply in replies[-1] or ():
            if isinstance(reply, Exception):
                raise reply
        return list(replies[-1] or ())

    def bindings(self, exchange: str) -> Sequence[tuple[str, str, str]]:
        backend = self._backend()
        table = backend.keys.bindings(exchange)
        known: Sequence[tuple[str, str, str]] = backend.reads.fresh(table)
        if known is not MISSING:
            return known
        with mapped(f"read the bindings of exchange {exchange!r}"):
            found: Sequence[tuple[str, str, str]] = self._reads.read(
                table, ("SMEMBERS", table), self._rows
            )
        return found

    def _rows(self, members: Any) -> tuple[tuple[str, str, str], ...]:
        sep = self._keys.sep
        # Keys and queues may hold what separates them; a pattern tells by its ends.
        form = re.compile("(.*?){0}((?:\\^.*?\\$)?){0}(.*)".format(re.escape(sep)), re.DOTALL)
        rows = []
        for member in sorted(members):
            text = member.decode("utf-8", "surrogatepass")
            found = form.fullmatch(text)
            parts = found.groups() if found else text.split(sep, 2)
            if len(parts) == 3:
                rows.append((parts[0], parts[1], parts[2]))
        return tuple(rows)

    def exchange_type(self, exchange: str) -> str | None:
        with mapped(f"look up exchange {exchange!r}"):
            types: Mapping[str, str] = self._reads.read(
                self._keys.exchange_types, ("HGETALL", self._keys.exchange_types), _pairs
            )
        return types.get(exchange)

    def declare_exchange(self, exchange: str, type: str) -> None:
        if self.exchange_type(exchange) == type:
            return
        with mapped(f"declare exchange {exchange!r}"):
            self._server.call(
                self._keys.exchange_types, "HSET", self._keys.exchange_types, exchange, type
            )
        self._reads.forget(self._keys.exchange_types)

    def delete_exchange(self, exchange: str) -> None:
        table = self._keys.bindings(exchange)
        with mapped(f"delete exchange {exchange!r}"):
            self._transaction(table, ("DEL", table, self._keys.permanent_bindings(exchange)))
            types = self._keys.exchange_types
            self._server.call(types, "HDEL", types, exchange)
        self._reads.forget(table)
        self._reads.forget(self._keys.exchange_types)

    def queue_arguments(self, queue: str) -> Mapping[str, Any] | None:
        backend = self._backend()
        key = backend.keys.of_queue("queue", queue)
        known: Mapping[str, Any] | None = backend.reads.fresh(key)
        if known is not MISSING:
            return known
        with mapped(f"look up queue {queue!r}"):
            found: Mapping[str, Any] | None = self._reads.read(key, ("GET", key), _arguments)
        return found

    def expiry(self, queue: str) -> int | None:
        """Lifetime in milliseconds of a queue that somebody declared with ``x-expires``."""
        backend = self._backend()
        key = backend.keys.of_queue("expiring", queue)
        known: int | None = backend.reads.fresh(key)
        if known is not MISSING:
            return known
        with mapped(f"look up queue {queue!r}"):
            found: int | None = self._reads.read(key, ("GET", key), _milliseconds)
        return found

    def forget_queue(self, queue: str) -> None:
        """This client declared or deleted the queue: what was read of it is void."""
        self._reads.forget(self._keys.of_queue("expiring", queue))
        self._reads.forget(self._keys.of_queue("queue", queue))


def _pairs(reply: Any) -> dict[str, str]:
    items = (
        list(reply.items())
        if isinstance(reply, dict)
        else list(zip(reply[::2], reply[1::2], strict=True))
    )
    return {name.decode("utf-8", "surrogatepass"): value.decode() for name, value in items}


def _milliseconds(text: Any) -> int | None:
    return None if text is None else int(text)


def _arguments(text: Any) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = loads(text.decode()).get("arguments")
    except (ValueError, AttributeError) as exc:
        raise exceptions.DataError("the record of a queue is damaged") from exc
    return dict(found) if isinstance(found, dict) else {}
