"""Everything behind one connection: server, store, shared topology and fanout, made together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kombu.transport.redis.fanout import RedisFanout
from kombu.transport.redis.keys import Keyspace
from kombu.transport.redis.options import RedisOptions
from kombu.transport.redis.renewals import Credentials
from kombu.transport.redis.server import Server
from kombu.transport.redis.store import RedisStore
from kombu.transport.redis.topology import Backend, RedisTopology, TrackedReads
from kombu.transport.virtual.routing import DirectMatcher, Matcher, TopicMatcher
from kombu.transport.virtual.store import QueueSpec


class Broker:
    """One connection's view of a Redis server.

    Arguments:
        server: where the keys live.
        options: the transport's options.
        database: number of the database, part of fanout channels.
        compat: whether old sentinel peers' fanout channels are used as well.
        make_store: makes the store, by default the one on lists.
        names: the key names that belong to that store.
    """

    def __init__(
        self,
        server: Server,
        options: RedisOptions,
        database: int,
        compat: bool = False,
        make_store: MakeStore | None = None,
        names: type[Keyspace] = Keyspace,
    ) -> None:
        make_store = make_store or TopologyKeepingStore
        self.server = server
        self.options = options
        self.keys = keyspace(server, options, names)
        self.store = make_store(server, self.keys, options)
        self.reads = TrackedReads(server, self.store.waker, options.waking)
        self._backend = Backend(server, self.keys, self.reads)
        self.topology = RedisTopology(self.backend)
        self.fanout = RedisFanout(server, self.store.waker, options, database, compat)
        self.store.fanout = self.fanout
        self.store.on_change = self.topology.forget_queue
        self.store.find_arguments = self.topology.queue_arguments
        self.store.find_expiry = self.topology.expiry
        self.store.restorer.router = self.route

    def renew(self, credentials: Credentials) -> None:
        """Authenticate all connections anew; for any thread (see ``renewals.py``)."""
        for node in self.server.nodes():
            node.renew(credentials)
        self.store.waker.interrupt()

    def backend(self) -> Backend:
        """What the shared topology works on."""
        return self._backend

    def route(self, exchange: str, routing_key: str, headers: Any) -> Sequence[str]:
        """Queues of a message that a published peer held; it says no more than this."""
        rows = self.topology.bindings(exchange)
        kind = self.topology.exchange_type(exchange)
        if kind is None and any(pattern for _, pattern, _ in rows):
            kind = "topic"
        matcher: Matcher = TopicMatcher() if kind == "topic" else DirectMatcher()
        for key, _, queue in rows:
            matcher.add(key, queue)
        return [str(queue) for queue in matcher.match(routing_key)]


class TopologyKeepingStore(RedisStore):
    """A store that tells the shared topology of queues it declares or deletes."""

    fanout: RedisFanout
    on_change: Callable[[str], None]

    def declare(self, queue: QueueSpec) -> None:
        super().declare(queue)
        self.on_change(queue.name)

    def delete(self, queue: str) -> int:
        count = super().delete(queue)
        self.on_change(queue)
        return count


def keyspace(server: Server, options: RedisOptions, names: type[Keyspace] = Keyspace) -> Keyspace:
    """The key names that suit a server."""
    tagged = options.cluster_tags
    if tagged is None:
        prefix = options.global_keyprefix
        tagged = server.is_cluster and "}" not in prefix[prefix.find("{") + 1 :]
    return names(
        prefix=options.global_keyprefix,
        sep=options.sep,
        steps=tuple(options.priority_steps),
        unacked=options.unacked_key,
        index=options.unacked_index_key,
        tagged=bool(tagged),
    )


MakeStore = Callable[[Server, Keyspace, RedisOptions], TopologyKeepingStore]
