"""The Kafka store against servers: Tansu, and librdkafka's mock cluster for what Tansu lacks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from amqp.exceptions import ResourceLocked
from confluent_kafka import Producer

from kombu.testing.conformance.store import StoreContract, bodies, envelope
from kombu.testing.faults import frozen
from kombu.transport.confluentkafka import feed
from kombu.transport.confluentkafka.clients import Clients, Target
from kombu.transport.confluentkafka.errors import ERRORS
from kombu.transport.confluentkafka.names import group_name
from kombu.transport.confluentkafka.options import KafkaOptions
from kombu.transport.confluentkafka.store import KafkaStore
from kombu.transport.confluentkafka.topology import KafkaTopology
from kombu.transport.virtual.store import Claim, Put, QueueSpec, Store
from kombu.utils.json import dumps
from t.integration.kafka.settings import TANSU
from t.services.pool import Servers

OpenStore = Callable[[], KafkaStore]


def opened(bootstrap: str, **options: Any) -> KafkaStore:
    return KafkaStore(Clients(Target(bootstrap), KafkaOptions(**options)))


def gather(stores: Sequence[Store], queue: str, count: int, timeout: float = 20) -> list[Claim]:
    """Claims of several members until there are so many."""
    claims: list[Claim] = []
    deadline = time.monotonic() + timeout
    while len(claims) < count and time.monotonic() < deadline:
        for store in stores:
            claims += store.claim([queue], count - len(claims))
    return claims


@pytest.fixture
def bootstrap(servers: Servers) -> str:
    return servers.env("kafka")["KAFKA_BOOTSTRAP"]


@pytest.mark.server("kafka")
class TestKafkaStore(StoreContract):
    @pytest.fixture
    def open_store(self, bootstrap: str) -> OpenStore:
        topic = f"kombu.topology-{uuid4().hex[:8]}"
        return lambda: opened(bootstrap, topology_topic=topic, **TANSU)

    @pytest.fixture
    def queue(self, store: KafkaStore) -> str:
        """Never deleted: Tansu's answer to those who still read it makes librdkafka crash."""
        name = f"contract-{uuid4().hex[:10]}"
        store.declare(QueueSpec(name))
        return name

    def claim(self, store: Store, queue: str, count: int) -> list[Claim]:
        """As for other stores; a group takes longer to deal partitions out anew."""
        claims = gather([store], queue, count)
        assert len(claims) == count
        return claims

    def test_a_purge_of_what_another_owns_is_refused(self, stores: OpenStore, queue: str) -> None:
        owner, other = stores(), stores()
        self.put(owner, queue, "a", "b")
        claims = self.claim(owner, queue, 1)
        with pytest.raises(ResourceLocked, match=queue):
            other.purge(queue)
        owner.settle(acks=claims)
        assert owner.purge(queue) == 1

    def test_what_is_no_message_is_set_aside(
        self, store: KafkaStore, queue: str, bootstrap: str
    ) -> None:
        producer = Producer({"bootstrap.servers": bootstrap})
        producer.produce(queue, b"not a message")
        assert producer.flush(10) == 0
        self.put(store, queue, "a")
        assert bodies(self.claim(store, queue, 1)) == ["a"]
        aside = f"{queue}.undecodable"
        assert store.clients.end(aside, 0)[1] == 1
        store.delete(aside)

    def test_no_commit_past_what_is_held(self, stores: OpenStore, queue: str) -> None:
        store = stores()
        self.put(store, queue, *"abcde")
        claims = self.claim(store, queue, 5)
        store.settle(acks=claims[2:], rejects=claims[:1])
        store.close()
        after = stores()
        assert after.clients.committed(group_name(queue), queue, [0])[0].offset == 1
        # Tansu keeps no metadata, so that all after the gap comes again.
        assert bodies(self.claim(after, queue, 4)) == ["b", "c", "d", "e"]


@pytest.mark.server("kafka")
class TestRebalance:
    """Members come and go; each message is acknowledged by somebody in the end."""

    COUNT = 40

    @pytest.fixture
    def stores(self, bootstrap: str) -> Iterator[OpenStore]:
        made: list[KafkaStore] = []

        def make() -> KafkaStore:
            # Both count as consumers: neither leaves when the other comes.
            clients = Clients(
                Target(bootstrap), KafkaOptions(num_partitions=4, topology_topic="", **TANSU)
            )
            made.append(KafkaStore(clients, consumed=lambda queue: True))
            return made[-1]

        yield make
        for store in made:
            store.close()

    def test_nothing_is_lost(self, stores: OpenStore) -> None:
        one, queue = stores(), f"rebalance-{uuid4().hex[:8]}"
        one.declare(QueueSpec(queue))
        one.put([Put(queue, envelope(str(number))) for number in range(self.COUNT)])
        held = gather([one], queue, self.COUNT)
        assert len(held) == self.COUNT
        one.settle(acks=held[:10])

        two = stores()
        # What was held in the partitions that went over is delivered again, by their new owner.
        moved = gather([two], queue, 1)
        while more := gather([two], queue, 100, timeout=1):
            moved += more
        assert 0 < len(moved) < self.COUNT
        acked = set(bodies(held[:10]))
        assert not acked & set(bodies(moved)) or len(acked) < 10

        one.settle(acks=held[10:])  # void for what went over
        left = set(bodies(moved[5:]))
        two.settle(acks=moved[:5])
        two.close()
        again = gather([one], queue, len(left))
        assert left <= set(bodies(again))
        one.settle(acks=again)
        one.close()
        after = stores()
        assert after.size(queue) == 0
        after.delete(queue)

    def test_the_eldest_keeps_what_it_holds(self, stores: OpenStore) -> None:
        one, queue = stores(), f"rebalance-{uuid4().hex[:8]}"
        one.clients.make(queue, **{"cleanup.policy": "delete"})  # of one partition
        one.put([Put(queue, envelope(text)) for text in "abc"])
        held = gather([one], queue, 3)
        two = stores()
        assert gather([two], queue, 1, timeout=3) == []
        one.settle(releases=held)
        again = gather([one], queue, 3)
        assert bodies(again) == ["a", "b", "c"]
        assert all(claim.redelivered for claim in again)
        one.settle(acks=again)
        one.close()
        after = stores()
        assert after.size(queue) == 0
        after.delete(queue)

    def test_what_was_paused_and_went_over_is_read_when_it_comes_back(
        self, stores: OpenStore, bootstrap: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feed, "FULL", 2)
        monkeypatch.setattr(feed, "LOW", 1)
        one, queue = stores(), f"paused-{uuid4().hex[:8]}"
        one.declare(QueueSpec(queue))
        producer = Producer({"bootstrap.servers": bootstrap, "batch.num.messages": 1})
        for partition in range(4):
            for number in range(5):
                text = dumps(envelope(f"{partition}-{number}"))
                producer.produce(queue, text.encode(), partition=partition)
        assert producer.flush(10) == 0
        held = gather([one], queue, 1)
        held += gather([one], queue, 1, timeout=1)  # the rest is read, and reading stops
        two = stores()
        moved = gather([two], queue, 1)
        assert moved
        two.close()
        left = {f"{partition}-{number}" for partition in range(4) for number in range(5)}
        left -= set(bodies(held))
        claims = gather([one], queue, len(left), timeout=15)
        assert left <= set(bodies(claims)) | set(bodies(held))


def test_a_closed_store_raises_and_opens_nothing() -> None:
    store = opened("127.0.0.1:1", topology_topic="")
    store.close()
    before = threading.active_count()
    for use in (
        lambda: store.size("q"),
        lambda: store.put([Put("q", envelope("a"))]),
        lambda: store.declare(QueueSpec("q")),
    ):
        with pytest.raises(ERRORS.recoverable_connection_errors, match="closed"):
            use()
    assert threading.active_count() == before


@pytest.mark.server("kafka-mock")
def test_the_next_owner_is_given_what_is_left(servers: Servers) -> None:
    """Out of order acknowledgements, and what was delivered before, travel with the commit."""
    bootstrap, queue = servers.env("kafka-mock")["KAFKA_MOCK_BOOTSTRAP"], "left"
    options = {
        "topology_topic": "",
        "connection_wait_time_seconds": 1,  # the mock cluster answers no administration requests
        "wait_time_seconds": 10,
        "kafka_consumer_config": {"session.timeout.ms": 6000, "fetch.wait.max.ms": 20},
    }
    one = opened(bootstrap, **options)
    one.put([Put(queue, envelope(str(number))) for number in range(12)])
    held = gather([one], queue, 12)
    acked = held[1::2]
    one.settle(acks=acked)
    one.close()
    other = opened(bootstrap, **options)
    again = gather([other], queue, 6)
    assert sorted(bodies(again)) == sorted(bodies(held[0::2]))
    assert all(claim.redelivered for claim in again)
    other.settle(acks=again)
    assert other.claim([queue], 12) == []
    assert other.size(queue) == 0
    other.close()


@pytest.mark.server("kafka")
def test_a_publish_does_not_hang(servers: Servers) -> None:
    service = servers.service("kafka")
    store = opened(service.env["KAFKA_BOOTSTRAP"], delivery_timeout=1.5, topology_topic="", **TANSU)
    store.declare(QueueSpec("frozen"))
    store.put([Put("frozen", envelope("before"))])
    with frozen(service.procs[0]["pid"]):
        start = time.monotonic()
        with pytest.raises(ERRORS.recoverable_connection_errors):
            store.put([Put("frozen", envelope("late"))])
        assert time.monotonic() - start < 6
    store.put([Put("frozen", envelope("after"))])
    store.delete("frozen")
    store.close()


@pytest.mark.server("kafka-mock")
def test_bindings_are_shared_on_a_topic_that_the_broker_made(servers: Servers) -> None:
    """It has as many partitions as the broker likes."""
    bootstrap = servers.env("kafka-mock")["KAFKA_MOCK_BOOTSTRAP"]
    options = {"topology_topic": "bindings", "connection_wait_time_seconds": 1}
    one, other = opened(bootstrap, **options), opened(bootstrap, **options)
    rows = [(f"key.{number}", "", "queue") for number in range(8)]
    for store in (one, other):
        assert store.topology is not None
    mine = KafkaTopology(lambda: one.topology)  # type: ignore[arg-type,return-value]
    theirs = KafkaTopology(lambda: other.topology)  # type: ignore[arg-type,return-value]
    mine.declare_exchange("exchange", "topic")
    for row in rows:
        mine.bind("exchange", *row)
    assert sorted(theirs.bindings("exchange")) == rows
    assert theirs.exchange_type("exchange") == "topic"
    theirs.unbind("exchange", *rows[0])
    assert sorted(mine.bindings("exchange")) == rows[1:]
    one.close()
    other.close()
