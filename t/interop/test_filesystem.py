"""Published kombu and ours on the same folders, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kombu import Connection, Exchange, Producer, Queue
from kombu.pidbox import Mailbox
from t.interop.published import VERSION, Published
from t.interop.receiving import received
from t.peers import published_python


@pytest.fixture(scope="session")
def interpreter() -> str:
    return published_python()


@pytest.fixture
def options(tmp_path: Path) -> dict[str, str]:
    for name in ("data", "processed"):
        (tmp_path / name).mkdir()
    return {
        "data_folder_in": str(tmp_path / "data"),
        "data_folder_out": str(tmp_path / "data"),
        "processed_folder": str(tmp_path / "processed"),
        "control_folder": str(tmp_path / "control"),
    }


@pytest.fixture
def published(interpreter: str, options: dict[str, str], tmp_path: Path) -> Published:
    return Published(interpreter, "filesystem://", options, tmp_path)


@pytest.fixture
def connection(options: dict[str, str]) -> Iterator[Any]:
    with Connection("filesystem://", transport_options=options) as connection:
        yield connection


def test_it_is_the_published_one(published: Published) -> None:
    assert published.run("version")["kombu"] == VERSION


@pytest.mark.parametrize("exchange_type", ["direct", "topic"])
def test_ours_reads_what_published_wrote(
    published: Published, connection: Any, exchange_type: str
) -> None:
    sent = published.run(
        "produce", "q", "5", exchange="ex", exchange_type=exchange_type, binding_key="k.a"
    )
    queue = Queue("q", Exchange("ex", type=exchange_type), routing_key="k.a")
    messages = received(connection, queue, 5)
    # 5.7 does not keep the order of what it sends within a millisecond.
    assert sorted(m.payload["i"] for m in messages) == [0, 1, 2, 3, 4]
    assert [each["body"] for each in sent["sent"]] == sorted(
        (m.payload for m in messages), key=lambda body: body["i"]
    )
    assert messages[0].delivery_info["exchange"] == "ex"


@pytest.mark.parametrize("command", ["consume", "get"])
def test_published_reads_what_ours_wrote(
    published: Published, connection: Any, command: str
) -> None:
    queue = Queue("q.with.dots", Exchange("ex"), routing_key="k")
    with connection.Producer() as producer:
        for number in range(5):
            producer.publish({"i": number}, exchange="ex", routing_key="k", declare=[queue])
    result = published.run(command, "q.with.dots", "5", exchange="ex", binding_key="k")
    assert [each["body"] for each in result["received"]] == [{"i": n} for n in range(5)]
    assert not any(each["redelivered"] for each in result["received"])


def test_published_publishes_by_bindings_of_ours(published: Published, connection: Any) -> None:
    channel = connection.default_channel
    queue = Queue("ours", Exchange("shared", type="topic"), routing_key="a.*")(channel)
    queue.declare()
    published.run(
        "produce",
        "theirs",
        "1",
        exchange="shared",
        exchange_type="topic",
        binding_key="z.z",
        routing_key="a.b",
    )
    assert len(received(connection, queue, 1)) == 1


def test_ours_publishes_by_bindings_of_published(published: Published, connection: Any) -> None:
    published.run("declare", "theirs", exchange="shared", exchange_type="topic", binding_key="a.#")
    exchange = Exchange("shared", type="topic")(connection.default_channel)
    exchange.declare()
    Producer(connection.default_channel, exchange).publish({"n": 1}, routing_key="a.b.c")
    result = published.run(
        "consume", "theirs", "1", exchange="shared", exchange_type="topic", binding_key="a.#"
    )
    assert result["received"][0]["body"] == {"n": 1}


def test_fanout_from_published(published: Published, connection: Any) -> None:
    queues = [Queue(name, Exchange("news", type="fanout")) for name in ("n1", "n2")]
    for queue in queues:
        queue(connection.default_channel).declare()
    published.run("fanout-produce", "news", "2")
    for queue in queues:
        assert len(received(connection, queue, 2)) == 2


def test_fanout_to_published(published: Published, connection: Any) -> None:
    process = published.start("fanout-consume", "news", "2")
    published.ready(process)
    exchange = Exchange("news", type="fanout")(connection.default_channel)
    exchange.declare()
    for number in range(2):
        Producer(connection.default_channel, exchange).publish({"i": number})
    assert published.result(process)["count"] == 2


def test_priorities_are_kept_and_first_come_by_published(
    published: Published, connection: Any
) -> None:
    queue = Queue("p", max_priority=9)(connection.default_channel)
    queue.declare()
    with connection.Producer() as producer:
        for priority in (0, 9, 5):
            producer.publish(priority, exchange="", routing_key="p", priority=priority)
    # 5.7 reads in the order of file names, whatever the priority; it must find it, though.
    result = published.run("consume", "p", "3")
    assert [each["body"] for each in result["received"]] == [0, 9, 5]
    assert [each["properties"]["priority"] for each in result["received"]] == [0, 9, 5]


def test_what_published_gives_back_is_redelivered_here(
    published: Published, connection: Any
) -> None:
    published.run("produce", "q", "2")
    published.run("close-holding", "q", "1")
    messages = received(connection, Queue("q"), 2)
    assert len(messages) == 2
    assert [m.delivery_info.get("redelivered", False) for m in messages].count(True) == 1


def test_what_ours_gives_back_is_redelivered_there(published: Published, connection: Any) -> None:
    with connection.Producer() as producer:
        for number in range(3):
            producer.publish(number, exchange="", routing_key="q", declare=[Queue("q")])
    connection.default_channel.basic_get("q").requeue()
    result = published.run("consume", "q", "3")
    assert [each["body"] for each in result["received"]] == [0, 1, 2]
    assert [each["redelivered"] for each in result["received"]] == [True, False, False]


def test_published_counts_and_purges_what_ours_wrote(published: Published, connection: Any) -> None:
    with connection.Producer() as producer:
        for number in range(3):
            producer.publish(number, exchange="", routing_key="q", declare=[Queue("q")])
    assert published.run("size", "q")["size"] == 3
    assert published.run("purge", "q")["purged"] == 3
    assert Queue("q")(connection.default_channel).queue_declare(passive=True).message_count == 0


def test_remote_control_of_published(published: Published, connection: Any) -> None:
    process = published.start("pidbox-node", "ns", "their.host", limit=1, timeout=20)
    published.ready(process)
    mailbox = Mailbox("ns", type="fanout", connection=connection, accept=["json"])
    replies = mailbox._broadcast("ping", {}, reply=True, timeout=10, limit=1)
    assert replies == [{"their.host": {"ok": "pong"}}]
    assert published.result(process)["calls"][0][0] == "ping"


def test_remote_control_by_published(published: Published, connection: Any) -> None:
    mailbox = Mailbox("ns", type="fanout", connection=connection, accept=["json"])
    node = mailbox.Node(
        "our.host",
        channel=connection.default_channel,
        handlers={"ping": lambda state, **_: {"ok": "pong"}},
    )
    node.listen()
    process = published.start("pidbox-call", "ns", "ping", limit=1, timeout=10)
    while process.poll() is None:
        try:
            connection.drain_events(timeout=0.2)
        except TimeoutError:
            continue
    assert published.result(process)["replies"] == [{"our.host": {"ok": "pong"}}]
