"""The ZooKeeper store against a server."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from kazoo.client import KazooClient

from kombu.testing.conformance.store import StoreContract, envelope
from kombu.transport.virtual.errors import MessageTooLarge
from kombu.transport.virtual.store import Put
from kombu.transport.zookeeper.paths import Paths
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

    def test_a_foreign_entry_is_set_aside(self, stores: OpenStore, queue: str) -> None:
        store = stores()
        store.session.create(f"{store.paths.queue(queue)}/entry-000-0000000000", b"{")
        self.put(store, queue, "ours")
        assert [c.message["body"] for c in self.claim(store, queue, 1)] == ["ours"]
        assert len(store.session.children(store.paths.quarantine)) == 1
