"""The ZooKeeper store against a server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from amqp.exceptions import ConnectionError as AMQPConnectionError
from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError

from kombu.testing.conformance.store import StoreContract, envelope
from kombu.transport.virtual.errors import MessageTooLarge
from kombu.transport.virtual.store import Put
from kombu.transport.zookeeper.moves import Moves
from kombu.transport.zookeeper.paths import DelayedName, Paths
from kombu.transport.zookeeper.session import Session
from kombu.transport.zookeeper.store import LARGEST_MESSAGE, ZookeeperStore
from t.services.pool import Servers

OpenStore = Callable[[], ZookeeperStore]


@pytest.mark.server("zookeeper")
class TestZookeeperStore(StoreContract):
    @pytest.fixture
    def open_store(self, servers: Servers) -> OpenStore:
        paths = Paths(f"/kombu-test-{uuid4().hex[:8]}")

        def open_one() -> ZookeeperStore:
            session = Session(
                KazooClient(servers.env("zookeeper")["ZOOKEEPER_HOSTS"], timeout=4), paths, limit=10
            )
            session.start(connect_timeout=10)
            return ZookeeperStore(session)

        return open_one

    def test_a_dead_owners_messages_return_in_order(self, stores: OpenStore, queue: str) -> None:
        dead, living = stores(), stores()
        self.put(dead, queue, *"abcd")
        self.claim(dead, queue, 3)
        dead.close()  # without settling: what its session held is free
        again = self.claim(living, queue, 4)
        assert [claim.message["body"] for claim in again] == list("abcd")
        assert [claim.redelivered for claim in again] == [True, True, True, False]

    def test_a_message_too_large_is_named(self, stores: OpenStore, queue: str) -> None:
        with pytest.raises(MessageTooLarge, match=str(LARGEST_MESSAGE)):
            stores().put([Put(queue, envelope("x" * (LARGEST_MESSAGE + 1)))])

    def test_a_consumer_outlives_its_queue(self, stores: OpenStore, queue: str) -> None:
        """The queue is deleted, and made anew by others: who waits for it hears of that."""
        consumer, other = stores(), stores()
        assert consumer.claim([queue], 1) == []
        other.delete(queue)
        while consumer.wait([queue], 0.5):  # until it knows that the queue is gone
            assert consumer.claim([queue], 1) == []
        self.put(other, queue, "anew")
        assert consumer.wait([queue], 5)
        assert [claim.message["body"] for claim in consumer.claim([queue], 1)] == ["anew"]

    def test_a_deleted_queue_leaves_nothing(self, stores: OpenStore, queue: str) -> None:
        store, dead, living = stores(), stores(), stores()
        self.put(store, queue, *"abcd")
        claims = self.claim(store, queue, 2)
        self.claim(dead, queue, 2)
        store.put([Put(queue, envelope("later"), ready_at=time.time() + 60)])
        store.put([Put("other", envelope("later"), ready_at=time.time() + 60)])
        store.delete(queue)
        store.settle(acks=claims[:1], releases=claims[1:])
        dead.close()
        deadline = time.monotonic() + 10
        while living.session.children(living.paths.claims) != [store.session.owner]:
            assert time.monotonic() < deadline
            assert living.claim([queue], 1) == []
        assert living.session.children(f"{living.paths.claims}/{store.session.owner}") == []
        (left,) = living.session.children(living.paths.delayed)
        assert DelayedName.parse(left).queue == "other"

    def test_a_message_given_back_to_a_queue_made_anew_takes_nobodys_place(
        self, stores: OpenStore, queue: str
    ) -> None:
        store = stores()
        self.put(store, queue, "old")
        claims = self.claim(store, queue, 1)
        store.delete(queue)
        self.put(store, queue, "new")
        store.settle(releases=claims)
        bodies = [claim.message["body"] for claim in self.claim(store, queue, 2)]
        assert sorted(bodies) == ["new", "old"]

    def test_a_delayed_message_makes_its_queue(self, stores: OpenStore) -> None:
        store = stores()
        store.put([Put("made-later", envelope("x"), ready_at=time.time() + 0.1)])
        claims = self.claim(store, "made-later", 1)
        assert [claim.message["body"] for claim in claims] == ["x"]

    def test_what_a_claim_took_before_it_failed_returns(
        self, stores: OpenStore, queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its owner lives, so that nobody else would give it back."""
        store = stores()
        self.put(store, queue, *"abc")
        held = self.claim(store, queue, 1)
        carry_out = Moves.carry_out

        def late(moves: Moves, asked: Any) -> Any:
            carry_out(moves, asked)
            raise KazooTimeoutError("no answer in time")

        monkeypatch.setattr(Moves, "carry_out", late)
        with pytest.raises(AMQPConnectionError):
            store.claim([queue], 1)
        monkeypatch.undo()
        assert [c.message["body"] for c in self.claim(store, queue, 2)] == ["b", "c"]
        assert store.claim([queue], 1) == []
        store.settle(releases=held)
        assert [c.message["body"] for c in self.claim(store, queue, 1)] == ["a"]

    def test_a_foreign_entry_is_set_aside(self, stores: OpenStore, queue: str) -> None:
        store = stores()
        store.session.create(f"{store.paths.queue(queue)}/entry-000-0000000000", b"{")
        self.put(store, queue, "ours")
        assert [c.message["body"] for c in self.claim(store, queue, 1)] == ["ours"]
        assert len(store.session.children(store.paths.quarantine)) == 1
