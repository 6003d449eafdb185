"""The MongoDB store against a server."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pymongo
import pytest

from kombu.testing.conformance.store import StoreContract, envelope
from kombu.transport.mongodb.database import DELIVERY_ORDER, BrokerDatabase
from kombu.transport.mongodb.options import MongoOptions
from kombu.transport.mongodb.store import MongoStore
from kombu.transport.mongodb.wake import Waker
from kombu.transport.virtual.store import Put, QueueSpec
from t.services.pool import Servers


@pytest.fixture
def database() -> str:
    return f"kombu_test_{uuid4().hex[:8]}"


@pytest.mark.server("mongodb")
class TestMongoStore(StoreContract):
    @pytest.fixture(params=[True, False], ids=["change-stream", "polling"])
    def open_store(
        self, request: pytest.FixtureRequest, servers: Servers, database: str
    ) -> Callable[[], MongoStore]:
        def open_one() -> MongoStore:
            client = pymongo.MongoClient(
                servers.env("mongodb")["MONGODB_URL"], serverSelectionTimeoutMS=5000
            )
            broker = BrokerDatabase(client, database, MongoOptions(change_streams=request.param))
            broker.prepare()
            return MongoStore(broker, Waker(broker, lambda: 0.1))

        return open_one

    def test_a_dead_owners_message_returns_within_its_lease(
        self, stores: Callable[[], MongoStore], queue: str
    ) -> None:
        dead, living = stores(), stores()
        dead.lease = 0.3
        self.put(dead, queue, "a", "b")
        self.claim(dead, queue, 2)
        living.lease = 0.3
        again = self.claim(living, queue, 2)
        assert [claim.message["body"] for claim in again] == ["a", "b"]
        assert all(claim.redelivered for claim in again)

    def test_claiming_scans_an_index_only(
        self, stores: Callable[[], MongoStore], queue: str
    ) -> None:
        store = stores()
        self.put(store, queue, *map(str, range(50)))
        cursor = store.broker.messages.find({"queue": queue}).sort(DELIVERY_ORDER).limit(5)
        assert "COLLSCAN" not in str(cursor.explain())

    def test_a_foreign_document_is_set_aside(
        self, stores: Callable[[], MongoStore], queue: str
    ) -> None:
        store = stores()
        store.broker.messages.insert_one({"queue": queue, "payload": "{", "priority": 0})
        store.put([Put(queue, envelope("ours"))])
        assert [c.message["body"] for c in self.claim(store, queue, 1)] == ["ours"]
        assert store.broker.messages.count_documents({"quarantined": queue}) == 1
        assert store.claim([queue], 5) == []

    def test_declaring_is_seen_by_others(self, stores: Callable[[], MongoStore]) -> None:
        one, other = stores(), stores()
        one.declare(QueueSpec("declared", arguments={"x-max-length": 5}))
        assert other.exists("declared")
