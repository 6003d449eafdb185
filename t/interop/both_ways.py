"""What the published kombu and ours must be able to do on one broker, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from kombu import Connection, Exchange, Producer, Queue
from kombu.pidbox import Mailbox
from t.interop.published import VERSION, Published
from t.interop.receiving import received
from t.peers import published_python


def answer_a_call(published: Published, connection: Any, name: str) -> None:
    """Published calls a node of ours, and is answered."""
    mailbox = Mailbox(name, type="fanout", connection=connection, accept=["json"])
    node = mailbox.Node(
        "our.host",
        channel=connection.default_channel,
        handlers={"ping": lambda state, **_: {"ok": "pong"}},
    )
    node.listen()
    process = published.start("pidbox-call", name, "ping", limit=1, timeout=15)
    while process.poll() is None:
        try:
            connection.drain_events(timeout=0.2)
        except TimeoutError:
            continue
    assert published.result(process)["replies"] == [{"our.host": {"ok": "pong"}}]


@dataclass(frozen=True)
class Site:
    """One broker, and the transport options of either side on it."""

    url: str
    options: dict[str, Any] = field(default_factory=dict)
    published_options: dict[str, Any] = field(default_factory=dict)


class ReadsAndWrites:
    """Messages go both ways through queues and exchanges that both sides declare."""

    #: Whether 5.7 keeps the order of what it sends.
    published_keeps_order = True

    @pytest.fixture
    def published(self, site: Site, tmp_path: Path) -> Published:
        return Published(published_python(), site.url, site.published_options, tmp_path)

    @pytest.fixture
    def connection(self, site: Site) -> Iterator[Any]:
        with Connection(site.url, transport_options=site.options) as connection:
            yield connection

    @pytest.fixture
    def name(self) -> str:
        return f"interop-{uuid4().hex[:8]}"

    def in_order(self, numbers: list[int]) -> list[int]:
        return numbers if self.published_keeps_order else sorted(numbers)

    def test_it_is_the_published_one(self, published: Published) -> None:
        assert published.run("version")["kombu"] == VERSION

    @pytest.mark.parametrize("exchange_type", ["direct", "topic"])
    @pytest.mark.interop("queue", "published->ours")
    def test_ours_reads_what_published_wrote(
        self, published: Published, connection: Any, name: str, exchange_type: str
    ) -> None:
        sent = published.run(
            "produce", name, "5", exchange="ex", exchange_type=exchange_type, binding_key="k.a"
        )
        queue = Queue(name, Exchange("ex", type=exchange_type), routing_key="k.a")
        messages = received(connection, queue, 5)
        assert self.in_order([m.payload["i"] for m in messages]) == [0, 1, 2, 3, 4]
        assert {m.payload["i"]: m.payload for m in messages} == {
            each["body"]["i"]: each["body"] for each in sent["sent"]
        }
        assert messages[0].delivery_info["exchange"] == "ex"
        assert messages[0].delivery_info["routing_key"] == "k.a"

    @pytest.mark.parametrize("command", ["consume", "get"])
    @pytest.mark.interop("queue", "ours->published")
    def test_published_reads_what_ours_wrote(
        self, published: Published, connection: Any, name: str, command: str
    ) -> None:
        queue = Queue(name, Exchange("ex"), routing_key="k")
        with connection.Producer() as producer:
            for number in range(5):
                producer.publish(
                    {"i": number}, exchange="ex", routing_key="k", declare=[queue], headers={"h": 1}
                )
        result = published.run(command, name, "5", exchange="ex", binding_key="k")
        came = [each["body"]["i"] for each in result["received"]]
        assert self.in_order(came) == [0, 1, 2, 3, 4]
        assert all(each["headers"] == {"h": 1} for each in result["received"])
        assert not any(each["redelivered"] for each in result["received"])

    @pytest.mark.interop("queue", "ours->published")
    def test_a_batch_of_ours_is_read_by_published(
        self, published: Published, connection: Any, name: str
    ) -> None:
        queue = Queue(name)(connection.default_channel)
        queue.declare()
        with connection.Producer() as producer, producer.batch():
            for number in range(12):
                producer.publish({"i": number}, exchange="", routing_key=name)
        result = published.run("consume", name, "12")
        assert sorted(each["body"]["i"] for each in result["received"]) == [*range(12)]

    @pytest.mark.parametrize("kind", ["text", "bytes", "rich"])
    @pytest.mark.interop("queue", "published->ours")
    def test_kinds_of_bodies_from_published(
        self, published: Published, connection: Any, name: str, kind: str
    ) -> None:
        published.run("produce", name, "1", body_kind=kind)
        queue = Queue(name)(connection.default_channel)
        message = next(each for each in iter(queue.get, ()) if each is not None)
        payload = message.decode()
        message.ack()
        if kind == "rich":
            assert payload["text"] == "\u00e9\U0001f600"
            assert payload["bytes"] == b"abc"
        else:
            assert payload == {"text": "peer-0", "bytes": b"\x00\xffpeer-0"}[kind]

    @pytest.mark.interop("queue", "published->ours")
    def test_compressed_by_published(
        self, published: Published, connection: Any, name: str
    ) -> None:
        published.run("produce", name, "1", publish={"compression": "gzip"})
        (message,) = received(connection, Queue(name), 1)
        assert message.payload["i"] == 0

    @pytest.mark.interop("requeue", "published->ours")
    def test_what_published_rejects_is_gone(
        self, published: Published, connection: Any, name: str
    ) -> None:
        with connection.Producer() as producer:
            producer.publish(1, exchange="", routing_key=name, declare=[Queue(name)])
        published.run("consume", name, "1", settle="reject")
        assert received(connection, Queue(name), 1, timeout=1) == []

    @pytest.mark.interop("requeue", "published->ours")
    def test_what_published_requeues_comes_here(
        self, published: Published, connection: Any, name: str
    ) -> None:
        with connection.Producer() as producer:
            producer.publish({"n": 1}, exchange="", routing_key=name, declare=[Queue(name)])
        published.run("close-holding", name, "1")
        (message,) = received(connection, Queue(name), 1)
        assert message.payload == {"n": 1}

    @pytest.mark.interop("requeue", "ours->published")
    def test_what_ours_requeues_goes_there(
        self, published: Published, connection: Any, name: str
    ) -> None:
        with connection.Producer() as producer:
            producer.publish({"n": 1}, exchange="", routing_key=name, declare=[Queue(name)])
        held: list[Any] = []
        with connection.Consumer(Queue(name), on_message=held.append):
            while not held:
                connection.drain_events(timeout=5)
        held[0].requeue()
        result = published.run("consume", name, "1")
        assert result["received"][0]["body"] == {"n": 1}
        assert result["received"][0]["headers"] == {}

    @pytest.mark.interop("queue", "ours->published")
    def test_published_counts_purges_and_deletes_what_ours_wrote(
        self, published: Published, connection: Any, name: str
    ) -> None:
        with connection.Producer() as producer:
            for number in range(3):
                producer.publish(number, exchange="", routing_key=name, declare=[Queue(name)])
        assert published.run("size", name)["size"] == 3
        published.run("purge", name)
        assert received(connection, Queue(name), 1, timeout=1) == []


class SharedBindings:
    """Either side publishes by the bindings that the other recorded."""

    @pytest.mark.interop("queue", "published->ours")
    def test_published_publishes_by_bindings_of_ours(
        self, published: Published, connection: Any, name: str
    ) -> None:
        queue = Queue(name, Exchange(f"x{name}", type="topic"), routing_key="a.*")
        queue(connection.default_channel).declare()
        published.run(
            "produce",
            f"{name}-theirs",
            "1",
            exchange=f"x{name}",
            exchange_type="topic",
            binding_key="z.z",
            routing_key="a.b",
        )
        assert len(received(connection, queue, 1)) == 1

    @pytest.mark.interop("queue", "ours->published")
    def test_ours_publishes_by_bindings_of_published(
        self, published: Published, connection: Any, name: str
    ) -> None:
        route = {"exchange": f"x{name}", "exchange_type": "topic", "binding_key": "a.#"}
        published.run("declare", name, **route)
        exchange = Exchange(f"x{name}", type="topic")(connection.default_channel)
        exchange.declare()
        Producer(connection.default_channel, exchange).publish({"n": 1}, routing_key="a.b.c")
        result = published.run("consume", name, "1", **route)
        assert result["received"][0]["body"] == {"n": 1}


class FanoutBothWays:
    """Fanout exchanges reach subscribers of both sides."""

    #: Seconds until the published client has sent what it publishes in the background.
    linger: ClassVar[float] = 0.0

    @pytest.mark.interop("fanout", "published->ours")
    def test_fanout_from_published(self, published: Published, connection: Any, name: str) -> None:
        queues = [Queue(f"{name}-{n}", Exchange(name, type="fanout")) for n in (1, 2)]
        came: list[Any] = []
        with connection.Consumer(queues, on_message=came.append, accept=["json"]):
            published.run("fanout-produce", name, "2", linger=self.linger)
            while len(came) < 4:
                connection.drain_events(timeout=10)
        assert sorted(each.payload["i"] for each in came) == [0, 0, 1, 1]

    @pytest.mark.interop("fanout", "ours->published")
    def test_fanout_to_published(self, published: Published, connection: Any, name: str) -> None:
        process = published.start("fanout-consume", name, "2")
        published.ready(process)
        exchange = Exchange(name, type="fanout")(connection.default_channel)
        exchange.declare()
        for number in range(2):
            Producer(connection.default_channel, exchange).publish({"i": number})
        assert published.result(process)["count"] == 2


class RemoteControlBothWays:
    """Either side's mailbox calls the other's nodes."""

    #: As that of :class:`FanoutBothWays`.
    linger: ClassVar[float] = 0.0

    @pytest.mark.interop("pidbox", "ours->published")
    def test_remote_control_of_published(
        self, published: Published, connection: Any, name: str
    ) -> None:
        process = published.start(
            "pidbox-node", name, "their.host", limit=1, timeout=20, linger=self.linger
        )
        published.ready(process)
        mailbox = Mailbox(name, type="fanout", connection=connection, accept=["json"])
        replies = mailbox._broadcast("ping", {}, reply=True, timeout=10, limit=1)
        assert replies == [{"their.host": {"ok": "pong"}}]

    @pytest.mark.interop("pidbox", "published->ours")
    def test_remote_control_by_published(
        self, published: Published, connection: Any, name: str
    ) -> None:
        answer_a_call(published, connection, name)


class PrioritiesBothWays:
    """The highest priority comes first, whoever wrote it and whoever reads it."""

    @pytest.mark.interop("priority", "published->ours")
    def test_ours_reads_priorities_of_published(
        self, published: Published, connection: Any, name: str
    ) -> None:
        published.run("produce", name, "3", priorities=[0, 9, 5])
        messages = received(connection, Queue(name), 3)
        assert [each.payload["i"] for each in messages] == [1, 2, 0]

    @pytest.mark.interop("priority", "ours->published")
    def test_published_reads_priorities_of_ours(
        self, published: Published, connection: Any, name: str
    ) -> None:
        Queue(name)(connection.default_channel).declare()
        with connection.Producer() as producer:
            for priority in (0, 9, 5):
                producer.publish(priority, exchange="", routing_key=name, priority=priority)
        result = published.run("consume", name, "3")
        assert [each["body"] for each in result["received"]] == [9, 5, 0]
