"""The NATS transport against a server."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen
from uuid import uuid4

import pytest

from kombu import Connection
from kombu.testing.conformance import Harness, Inbox
from kombu.testing.conformance.store import StoreContract, envelope
from kombu.testing.faults import FaultProxy
from kombu.transport.nats import Transport, link
from kombu.transport.nats.names import Level, Names, token
from kombu.transport.nats.store import NatsStore
from kombu.transport.virtual.store import Put, QueueSpec
from t.services.pool import Servers

LEASE = 2.0
OPTIONS = {"lease": LEASE, "storage": "memory"}

OpenStore = Callable[[], NatsStore]


@pytest.fixture
def url(servers: Servers) -> str:
    return f"{servers.env('nats')['NATS_URL']}/test-{uuid4().hex[:8]}"


@pytest.fixture
def open_store(url: str) -> OpenStore:
    def open_one(**options: Any) -> NatsStore:
        transport = Transport(Connection(url, transport_options={**OPTIONS, **options}))
        store = transport.create_store()
        assert isinstance(store, NatsStore)
        return store

    return open_one


@pytest.mark.server("nats")
class TestNatsStore(StoreContract):
    @pytest.fixture
    def open_store(self, open_store: OpenStore) -> OpenStore:
        return open_store

    def test_a_late_settlement_leaves_the_next_owner_alone(
        self, stores: OpenStore, queue: str
    ) -> None:
        late, prompt = stores(), stores()
        self.put(late, queue, "a")
        (lost,) = self.claim(late, queue, 1)
        until = time.monotonic() + LEASE * 4
        again = []
        while not again and time.monotonic() < until:
            prompt.wait([queue], LEASE)
            again = prompt.claim([queue], 1)
        assert again[0].redelivered and again[0].deliveries == 1
        late.settle(acks=[lost])
        late.settle(releases=[lost])
        assert late.held(queue) == 1
        prompt.settle(releases=again)
        assert [c.message["body"] for c in self.claim(late, queue, 1)] == ["a"]

    def test_released_twice_in_order(self, store: NatsStore, queue: str) -> None:
        self.put(store, queue, *"abc")
        store.settle(releases=self.claim(store, queue, 2))
        store.settle(releases=self.claim(store, queue, 1))
        assert [c.message["body"] for c in self.claim(store, queue, 3)] == list("abc")

    def test_what_is_no_message_is_set_aside(
        self, store: NatsStore, queue: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        names = store.streams.names
        store.link.run(store.link.jetstream.publish(names.subject(queue, Level(0)), b"{"))
        self.put(store, queue, "ours")
        with caplog.at_level(logging.ERROR):
            assert [c.message["body"] for c in self.claim(store, queue, 1)] == ["ours"]
            harness = Harness("memory://")
            harness.eventually(lambda: "is no message" in caplog.text, "it is logged")
        info = store.link.run(store.link.jetstream.stream_info(names.quarantine_stream))
        assert info.state.messages == 1
        assert store.size(queue) == 0

    def test_a_message_too_large_is_refused(self, store: NatsStore, queue: str) -> None:
        with pytest.raises(Transport.errors.channel_errors, match="maximum payload"):
            store.put([Put(queue, envelope("x" * 2_000_000))])

    def test_a_message_id_is_stored_once(self, open_store: OpenStore) -> None:
        queue = uuid4().hex
        message = envelope("a")
        message["properties"]["message_id"] = "same"
        for deduplicate, count in ((True, 1), (False, 3)):
            store = open_store(deduplicate=deduplicate)  # type: ignore[call-arg]
            store.declare(QueueSpec(queue))
            store.put([Put(queue, message)])
            store.put([Put(queue, message)])
            assert store.size(queue) == count
            store.close()

    def test_a_delayed_message_outlives_who_put_it(self, stores: OpenStore, queue: str) -> None:
        writer = stores()
        ready_at = time.time() + 0.5
        writer.put([Put(queue, envelope("late"), ready_at=ready_at)])
        writer.claim([queue], 1)  # it knows now when the message is due
        writer.close()
        (claim,) = self.claim(stores(), queue, 1)
        assert claim.message["body"] == "late"
        assert time.time() >= ready_at

    def test_a_queue_made_anew_by_another_is_found(self, stores: OpenStore, queue: str) -> None:
        one, other = stores(), stores()
        self.put(one, queue, "old")
        one.settle(acks=self.claim(one, queue, 1))
        other.delete(queue)
        other.declare(QueueSpec(queue))
        self.put(other, queue, "new")
        assert [c.message["body"] for c in self.claim(one, queue, 1)] == ["new"]

    def test_queues_that_are_gone_leave_nothing_behind(
        self, store: NatsStore, servers: Servers
    ) -> None:
        def entries() -> int:
            stream = f"KV_{store.streams.names.bucket}"
            info = store.link.run(store.link.jetstream.stream_info(stream))
            return int(info.state.messages)

        def subscriptions() -> int:
            store.link.run(store.link.flush())
            monitor = servers.env("nats")["NATS_MONITOR_URL"]
            with urlopen(f"{monitor}/connz?cid={store.link.client.client_id}") as answer:
                return int(json.load(answer)["connections"][0]["subscriptions"])

        counts = []
        for number in range(4):
            store.declare(QueueSpec(f"reply-{number}"))
            store.put([Put(f"reply-{number}", envelope("a"))])
            store.settle(acks=self.claim(store, f"reply-{number}", 1))
            store.delete(f"reply-{number}")
            counts.append((entries(), subscriptions()))
        assert counts == [counts[0]] * 4

    def test_the_lease_is_what_who_made_the_consumer_says(
        self, open_store: OpenStore, queue: str
    ) -> None:
        """It must be renewed in time, though this client's option says longer."""
        short, long = open_store(), open_store(lease=30.0)  # type: ignore[call-arg]
        self.put(short, queue, "a", "b")
        short.settle(acks=self.claim(short, queue, 1))
        held = self.claim(long, queue, 1)
        assert long.lease == LEASE
        long.settle(acks=held)
        for store in (short, long):
            store.close()

    def test_a_server_far_away_is_waited_for(
        self, url: str, queue: str, store: NatsStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(link, "PULL_PATIENCE", 0.1)
        self.put(store, queue, "a")
        parts = urlsplit(url)
        with FaultProxy(parts.hostname or "", parts.port or 0) as proxy:
            there = f"nats://127.0.0.1:{proxy.port}{parts.path}"
            far = Transport(Connection(there, transport_options=OPTIONS)).create_store()
            proxy.set(latency=0.15)
            (claim,) = self.claim(far, queue, 1)
            assert not claim.redelivered
            far.settle(acks=[claim])
            far.close()

    def test_many_are_moved_and_given_back_together(
        self, url: str, queue: str, store: NatsStore
    ) -> None:
        ready_at = time.time() + 0.3
        store.put([Put(queue, envelope(str(n)), ready_at=ready_at) for n in range(100)])
        parts = urlsplit(url)
        with FaultProxy(parts.hostname or "", parts.port or 0) as proxy:
            there = f"nats://127.0.0.1:{proxy.port}{parts.path}"
            far = Transport(Connection(there, transport_options=OPTIONS)).create_store()
            time.sleep(max(ready_at - time.time(), 0.0))
            proxy.set(latency=0.05)
            begun = time.monotonic()
            claims = self.claim(far, queue, 100)
            assert time.monotonic() - begun < 5, "one after another: ten seconds"
            begun = time.monotonic()
            far.settle(releases=claims)
            assert time.monotonic() - begun < 5
            again = self.claim(far, queue, 100)
            for each in (claims, again):
                assert [c.message["body"] for c in each] == [str(n) for n in range(100)]
            far.close()


@pytest.mark.server("nats")
class TestNats:
    @pytest.fixture
    def harness(self, servers: Servers, url: str) -> Iterator[Harness]:
        options = {"lease": LEASE}
        restart = servers.service("nats").restart
        with Harness(url, transport_options=options, restart=restart) as harness:
            yield harness

    def test_a_frozen_consumer_loses_its_messages(self, harness: Harness) -> None:
        channel = harness.connection().channel()
        queue = harness.queue(channel)
        harness.put(channel, queue, "first")
        process = harness.process("consume", queue.name, prefetch=1)
        assert harness.lines(process, 1) == ["first"]
        process.send_signal(signal.SIGSTOP)
        try:
            again = harness.get(queue, timeout=LEASE * 5)
            assert again.payload == "first" and again.delivery_info["redelivered"]
            again.ack()
        finally:
            process.send_signal(signal.SIGCONT)

    def test_messages_and_bindings_outlive_a_restart(self, harness: Harness) -> None:
        connection = harness.connection()
        channel = connection.channel()
        exchange = harness.exchange(channel, "topic")
        queue = harness.queue(channel, exchange, routing_key="a.#")
        harness.put(channel, queue, "before")
        assert harness.restart is not None
        harness.restart()
        with pytest.raises(connection.connection_errors):
            queue.get()
        again = harness.connection()
        channel = again.channel()
        channel.Producer().publish("after", exchange=exchange, routing_key="a.b")
        inbox = Inbox(channel, queue, ack=True)
        harness.until(inbox.has(2), again)
        assert sorted(inbox.payloads) == ["after", "before"]

    def test_a_consumer_waiting_at_a_restart_is_told(self, harness: Harness) -> None:
        connection = harness.connection()
        channel = connection.channel()
        Inbox(channel, harness.queue(channel))
        assert harness.restart is not None
        harness.restart()
        with pytest.raises(connection.connection_errors):
            connection.drain_events(timeout=30)


def test_without_a_server() -> None:
    with (
        Connection("nats://user:s3cret@127.0.0.1:1", connect_timeout=1) as connection,
        pytest.raises(connection.connection_errors) as caught,
    ):
        connection.connect()
    assert "s3cret" not in str(caught.value)


def test_names_apart_stay_apart() -> None:
    names = ["a", "A", "a.b", "a_b", "a=b", "", "é", "a b", "*", ">", "x" * 300, "x" * 301]
    assert len({token(name) for name in names}) == len(names)
    assert all(not set(" .*>\t") & set(token(name)) for name in names)


def test_what_returned_comes_before_what_is_new() -> None:
    levels = [Level(0), Level(9, True), Level(0, True), Level(9)]
    assert [str(level) for level in sorted(levels, reverse=True)] == ["9r", "9", "0r", "0"]
    assert [Level.parse(str(level)) for level in levels] == levels


def test_virtual_hosts_share_nothing() -> None:
    one, other = Names("/"), Names("/x")
    assert one.stream("q") != other.stream("q")
    assert one.bucket != other.bucket


def test_the_client_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("kombu.transport.nats")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nats.js", None)
    with pytest.raises(ImportError, match=r"pip install 'kombu\[nats\]'"):
        Connection("nats://").transport  # noqa: B018
