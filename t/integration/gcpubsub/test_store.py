"""The Pub/Sub store against Google's emulator."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from amqp.exceptions import NotFound, RecoverableConnectionError

from kombu import Connection
from kombu.testing.conformance.store import StoreContract, bodies, envelope
from kombu.testing.faults import frozen
from kombu.transport.gcpubsub import subscriptions
from kombu.transport.gcpubsub.clients import Clients
from kombu.transport.gcpubsub.options import PubSubOptions
from kombu.transport.gcpubsub.store import PubSubStore
from kombu.transport.gcpubsub.topology import PubSubTopology
from kombu.transport.virtual.store import Put, QueueSpec
from t.services.pool import Servers

OpenStore = Callable[[], PubSubStore]


@pytest.fixture(autouse=True)
def emulator(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", servers.env("pubsub")["PUBSUB_EMULATOR_HOST"])


@pytest.fixture
def open_store() -> OpenStore:
    project = f"store-{uuid4().hex[:8]}"
    options = PubSubOptions(ack_deadline_seconds=10, lease=2, request_timeout=2.0)
    return lambda: PubSubStore(Clients(project, options), options)


@pytest.mark.server("pubsub")
class TestPubSubStore(StoreContract):
    @pytest.fixture
    def open_store(self, open_store: OpenStore) -> OpenStore:
        return open_store

    #: Pub/Sub keeps no order.
    test_released_messages_return_to_the_head_in_order = None  # type: ignore[assignment]

    def test_a_dead_owners_message_returns_within_its_lease(
        self, stores: OpenStore, queue: str
    ) -> None:
        dead, living = stores(), stores()
        self.put(dead, queue, "a", "b")
        assert len(self.claim(dead, queue, 2)) == 2
        again = self.claim(living, queue, 2)
        assert sorted(bodies(again)) == ["a", "b"]

    def test_what_is_no_message_is_set_aside(self, store: PubSubStore, queue: str) -> None:
        target = store.subscriptions.ensure(queue)
        store.clients.publish(
            target.topic, [{"data": b"not a message", "attributes": target.attributes}]
        )
        self.put(store, queue, "a")
        assert bodies(self.claim(store, queue, 1)) == ["a"]
        aside = store.subscriptions.find(f"{queue}.undecodable")
        assert aside is not None
        (kept,) = store.clients.pull(aside.id, 10, 2)
        assert kept.message.data == b"not a message"

    def test_messages_for_others_on_the_same_topic_are_not_taken(self, store: PubSubStore) -> None:
        """The emulator applies no filters, as if Pub/Sub had none."""
        mine, other = (f"contract-{uuid4().hex[:10]}" for _ in range(2))
        for queue in (mine, other):
            store.declare(QueueSpec(queue))
            store.subscriptions.ensure(queue, f"{mine}-exchange", "key")
        self.put(store, mine, "mine")
        self.put(store, other, "other")
        assert store.size(mine) == store.size(other) == 1
        assert bodies(self.claim(store, mine, 1)) == ["mine"]
        assert bodies(self.claim(store, other, 1)) == ["other"]

    def test_a_queue_that_was_deleted_behind_our_back_is_made_anew(
        self, stores: OpenStore, queue: str
    ) -> None:
        one, other = stores(), stores()
        self.put(one, queue, "a")
        other.delete(queue)
        with pytest.raises(NotFound, match="publish"):
            self.put(one, queue, "b")
        self.put(one, queue, "c")
        assert bodies(self.claim(one, queue, 1)) == ["c"]

    def test_a_queue_made_anew_on_another_topic_is_found(
        self, stores: OpenStore, queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is published to the old topic would reach nobody, and nobody would be told."""
        monkeypatch.setattr(subscriptions, "REMEMBERED", 0.0)
        one, other = stores(), stores()
        other.subscriptions.ensure(queue, f"{queue}-old", "key")
        self.put(one, queue, "a")
        other.delete(queue)
        other.subscriptions.ensure(queue, f"{queue}-new", "key")
        self.put(one, queue, "b")
        assert bodies(self.claim(other, queue, 1)) == ["b"]

    def test_what_can_not_be_set_aside_stops_nobody(
        self, stores: OpenStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, queue = stores(), "q" * 240  # no room for the name of the other subscription
        store.declare(QueueSpec(queue))
        target = store.subscriptions.ensure(queue)
        store.clients.publish(
            target.topic, [{"data": b"not a message", "attributes": target.attributes}]
        )
        self.put(store, queue, "a")
        assert bodies(self.claim(store, queue, 1)) == ["a"]

    def test_what_comes_late_opens_no_channel(self, store: PubSubStore, queue: str) -> None:
        self.put(store, queue, "a")
        claims = self.claim(store, queue, 1)
        store.close()
        for use in (
            lambda: store.settle(releases=claims),
            lambda: store.put([Put(queue, envelope("b"))]),
            lambda: store.size(queue),
        ):
            with pytest.raises(RecoverableConnectionError, match="closed"):
                use()


@pytest.mark.server("pubsub")
class TestBindings:
    @pytest.fixture
    def topologies(self, open_store: OpenStore) -> Iterator[Callable[[], PubSubTopology]]:
        opened: list[PubSubStore] = []

        def open_one() -> PubSubTopology:
            store = open_store()
            opened.append(store)
            return PubSubTopology(lambda: store.subscriptions)

        yield open_one
        for store in opened:
            store.close()

    def test_a_queue_made_anew_with_another_key_is_found(
        self, topologies: Callable[[], PubSubTopology]
    ) -> None:
        one, other = topologies(), topologies()
        other.bind("exchange", "before", "", "kombu-queue")
        assert one.bindings("exchange") == [("before", "", "kombu-queue")]
        other._connect().delete("kombu-queue")
        other.bind("exchange", "after", "", "kombu-queue")
        assert one.refresh()
        assert one.bindings("exchange") == [("after", "", "kombu-queue")]
        assert not one.refresh(), "not again for each message that finds no queue"

    def test_bindings_end_with_a_queue_that_pubsub_deleted(
        self, topologies: Callable[[], PubSubTopology], open_store: OpenStore
    ) -> None:
        one, other = topologies(), topologies()
        one.bind("exchange", "first", "", "queue")
        one.bind("exchange", "second", "", "queue")
        assert len(other.bindings("exchange")) == 2
        store = open_store()
        store.delete("queue")  # the subscription alone, as Pub/Sub itself does
        store.close()
        later = topologies()
        assert later.bindings("exchange") == []
        assert later._clients.subscriptions("exchange") == []


@pytest.mark.server("pubsub")
def test_a_publish_does_not_hang(servers: Servers, open_store: OpenStore) -> None:
    store = open_store()
    store.declare(QueueSpec("frozen-queue"))
    store.put([Put("frozen-queue", envelope("before"))])
    with frozen(servers.service("pubsub").procs[0]["pid"]):
        start = time.monotonic()
        with pytest.raises(RecoverableConnectionError):
            while True:  # its threads do not stop all at once
                start = time.monotonic()
                store.put([Put("frozen-queue", envelope("late"))])
        assert time.monotonic() - start < 6
    store.put([Put("frozen-queue", envelope("after"))])
    store.close()


@pytest.mark.parametrize("url", ["gcpubsub://", "gcpubsub://projects/", "gcpubsub://project-id"])
def test_a_url_without_a_project_is_named(url: str) -> None:
    with pytest.raises(ValueError, match="gcpubsub://projects/PROJECT_ID"):
        Connection(url).connect()
