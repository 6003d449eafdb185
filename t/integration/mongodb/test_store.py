"""The MongoDB store against a server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pymongo
import pytest
from pymongo.collection import Collection

from kombu import Connection
from kombu.testing.conformance.store import StoreContract, envelope
from kombu.transport.mongodb.database import DELIVERY_ORDER, BrokerDatabase
from kombu.transport.mongodb.errors import ERRORS
from kombu.transport.mongodb.options import MongoOptions
from kombu.transport.mongodb.store import LARGEST_MESSAGE, MongoStore
from kombu.transport.mongodb.urls import client_settings
from kombu.transport.virtual.errors import MessageTooLarge
from kombu.transport.virtual.store import PartialPutError, Put, QueueSpec
from kombu.utils.json import dumps
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
            return MongoStore(broker, lambda: 0.1)

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

    @pytest.mark.parametrize(
        ("query", "order", "index"),
        [
            ({"queue": "q"}, DELIVERY_ORDER, "queue_1_priority_1__id_1"),  # claim, by priority
            ({"queue": {"$in": ["q", "r"]}}, None, "queue_1_priority_1__id_1"),  # look
            ({"held.until": {"$lte": 5.0}}, None, "held.until_1"),  # sweep
            ({"held.until": {"$gt": 5.0}}, [("held.until", 1)], "held.until_1"),  # the next one
        ],
    )
    def test_an_index_serves(
        self, stores: Callable[[], MongoStore], query: Any, order: Any, index: str
    ) -> None:
        """SecantusDB still sorts what the index of a claim finds; MongoDB reads it in order."""
        store = stores()
        for queue in ("q", "r", "s"):
            self.put(store, queue, *map(str, range(10)))
        cursor = store.broker.messages.find(query).limit(5)
        explained = str((cursor.sort(order) if order else cursor).explain())
        assert index in explained
        assert "COLLSCAN" not in explained

    def test_writes_wait_for_a_majority(self) -> None:
        client = Connection("mongodb://127.0.0.1:1")
        _, _, settings = client_settings(client, MongoOptions())
        assert settings["w"] == "majority"
        client = Connection("mongodb://127.0.0.1:1/?w=1")
        assert "w" not in client_settings(client, MongoOptions())[2]

    def test_a_deleted_queue_takes_its_delayed_messages_along(
        self, stores: Callable[[], MongoStore], queue: str
    ) -> None:
        store = stores()
        store.put([Put(queue, envelope("later"), ready_at=time.time() + 0.2)])
        store.put([Put("other", envelope("later"), ready_at=time.time() + 0.2)])
        store.delete(queue)
        assert [c.queue for c in self.claim(store, "other", 1)] == ["other"]
        assert store.size(queue) == 0

    def test_a_foreign_document_is_set_aside(
        self, stores: Callable[[], MongoStore], queue: str
    ) -> None:
        store = stores()
        store.broker.messages.insert_one({"queue": queue, "payload": "{", "priority": 0})
        store.put([Put(queue, envelope("ours"))])
        assert [c.message["body"] for c in self.claim(store, queue, 1)] == ["ours"]
        assert store.broker.messages.count_documents({"quarantined": queue}) == 1
        assert store.claim([queue], 5) == []

    def test_a_claim_goes_on_where_another_was_faster(
        self, stores: Callable[[], MongoStore], queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who loses the race for what he found still takes what waits behind it."""
        slow, fast = stores(), stores()
        self.put(slow, queue, *"abcd")
        between: list[Any] = [lambda: self.claim(fast, queue, 2)]
        update_many = Collection.update_many

        def after_the_other(collection: Any, *args: Any, **options: Any) -> Any:
            if between:
                between.pop()()
            return update_many(collection, *args, **options)

        monkeypatch.setattr(Collection, "update_many", after_the_other)
        assert [claim.message["body"] for claim in slow.claim([queue], 2)] == ["c", "d"]

    def test_foreign_documents_hide_no_message(
        self, stores: Callable[[], MongoStore], queue: str
    ) -> None:
        store = stores()
        foreign = [{"queue": queue, "payload": "{", "priority": 0} for _ in range(3)]
        store.broker.messages.insert_many(foreign)
        self.put(store, queue, "ours")
        assert [claim.message["body"] for claim in store.claim([queue], 2)] == ["ours"]

    def test_a_deleted_queue_takes_its_held_messages_along(
        self, stores: Callable[[], MongoStore], queue: str
    ) -> None:
        store = stores()
        self.put(store, queue, *"ab")
        claims = self.claim(store, queue, 2)
        store.delete(queue)
        store.settle(acks=claims[:1], releases=claims[1:])
        assert store.broker.messages.count_documents({}) == 0

    def test_a_jump_of_the_clock_ends_no_lease(
        self, stores: Callable[[], MongoStore], queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = stores()
        self.put(store, queue, "a")
        (claim,) = self.claim(store, queue, 1)
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + 3600)
        store.renew([claim])
        monkeypatch.undo()
        (held,) = store.broker.messages.find({"held.receipt": claim.receipt[1]})
        assert abs(held["held"]["until"] - time.time() - store.lease) < 5

    def test_messages_of_other_queues_wake_nobody(
        self, stores: Callable[[], MongoStore], queue: str
    ) -> None:
        waiting, other = stores(), stores()
        while waiting.wait([queue], 1.0):  # until the change stream is open
            assert waiting.claim([queue], 1) == []
        self.put(other, f"{queue}-other", *"abc")
        assert not waiting.wait([queue], 0.5)
        self.put(other, queue, "ours")
        assert waiting.wait([queue], 5)
        held = self.claim(waiting, queue, 1)
        assert waiting.wait([f"{queue}-other"], 5)  # it may be that they came before
        other.settle(releases=self.claim(other, f"{queue}-other", 1))
        waiting.settle(acks=held)
        assert [c.message["body"] for c in self.claim(waiting, f"{queue}-other", 1)] == ["a"]

    def test_the_largest_message_can_be_held_and_given_back(
        self, stores: Callable[[], MongoStore], queue: str
    ) -> None:
        """A document grows by that: one that has no room left would end every claim."""
        store = stores()
        room = LARGEST_MESSAGE - len(dumps(envelope("")))
        with pytest.raises(MessageTooLarge, match=str(LARGEST_MESSAGE)):
            store.put([Put(queue, envelope("x" * (room + 1)))])
        store.put([Put(queue, envelope("x" * room))])
        store.settle(releases=self.claim(store, queue, 1))
        (claim,) = self.claim(store, queue, 1)
        assert len(claim.message["body"]) == room
        store.settle(acks=[claim])

    def test_a_clock_that_is_slow_ends_no_message(
        self, servers: Servers, database: str, queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The server deletes by its own clock what has expired."""
        client: Any = pymongo.MongoClient(servers.env("mongodb")["MONGODB_URL"])
        broker = BrokerDatabase(client, database, MongoOptions(ttl=True))
        broker.prepare()
        store, now = MongoStore(broker), time.time
        monkeypatch.setattr(time, "time", lambda: now() - 3600)
        store.put([Put(queue, envelope("x"), expires_at=time.time() + 60)])
        (stored,) = broker.messages.find()
        assert abs(stored["expire_at"].timestamp() - now() - 60) < 5
        store.close()

    def test_of_a_batch_what_is_too_large_fails_alone(
        self, stores: Callable[[], MongoStore], queue: str
    ) -> None:
        store = stores()
        texts = ["a", "x" * 49_000_000, "b"]  # for a request, too
        with pytest.raises(PartialPutError) as caught:
            store.put([Put(queue, envelope(text)) for text in texts])
        assert list(caught.value.failed) == [1]
        assert isinstance(caught.value.failed[1], ERRORS.channel_errors)
        assert [claim.message["body"] for claim in self.claim(store, queue, 2)] == ["a", "b"]

    def test_declaring_is_seen_by_others(self, stores: Callable[[], MongoStore]) -> None:
        one, other = stores(), stores()
        one.declare(QueueSpec("declared", arguments={"x-max-length": 5}))
        assert other.exists("declared")
