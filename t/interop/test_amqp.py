"""Published kombu and ours on one RabbitMQ, both ways."""

from __future__ import annotations

import datetime
import decimal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import amqp
import pytest

from kombu import Connection, Exchange, Queue
from kombu.compression import decompress
from kombu.pidbox import Mailbox
from kombu.transport.native_delayed_delivery import (
    bind_queue_to_native_delayed_delivery_exchange,
    calculate_routing_key,
    declare_native_delayed_delivery_exchanges_and_queues,
    level_name,
)
from t.interop.both_ways import answer_a_call
from t.interop.peer import Peer
from t.interop.published import VERSION, Published
from t.peers import published_python

pytestmark = pytest.mark.server("rabbitmq")

ACCEPT = ["json", "pickle", "yaml", "msgpack", "text/plain", "application/data"]

#: As ``peer.py --body-kind`` makes them.
BODIES: dict[str, Any] = {
    "object": {"i": 0, "tag": "peer"},
    "text": "peer-0",
    "bytes": b"\x00\xffpeer-0",
    "rich": {
        "i": 0,
        "tag": "peer",
        "datetime": datetime.datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.timezone.utc),
        "date": datetime.date(2024, 1, 2),
        "time": datetime.time(3, 4, 5),
        "decimal": decimal.Decimal("1.10"),
        "uuid": uuid.UUID("12345678-1234-5678-1234-567812345678"),
        "bytes": b"abc",
        "raw": b"\xff\x00",
        "text": "\u00e9\U0001f600",
    },
}

HEADERS = {
    "text": "grün",
    "empty": "",
    "number": -5,
    "large": 2**40,
    "negative": -(2**40),
    "float": 1.5,
    "yes": True,
    "no": False,
    "none": None,
    "list": [1, "a", None, [2.5, {"x": None}]],
    "table": {"deep": {"er": False}},
}

PROPERTIES = {
    "priority": 7,
    "expiration": 60.5,
    "correlation_id": "c1",
    "reply_to": "r1",
    "message_id": "m1",
    "type": "t1",
    "app_id": "a1",
    "user_id": "guest",
    "timestamp": 1700000000,
    "delivery_mode": 1,
}

#: Body kind and what is given to publish.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: ("object", {"serializer": name}) for name in ("json", "yaml", "msgpack", "pickle")},
    "text": ("text", {}),
    "bytes": ("bytes", {}),
    "text as json": ("text", {"serializer": "json"}),
    "rich json": ("rich", {"serializer": "json"}),
    "rich pickle": ("rich", {"serializer": "pickle"}),
    **{
        name: ("object", {"serializer": "json", "compression": name})
        for name in ("zlib", "bzip2", "lzma", "brotli", "zstd")
    },
    "compressed bytes": ("bytes", {"compression": "gzip"}),
    "headers": ("object", {"headers": HEADERS}),
    "headers and compression": ("object", {"headers": HEADERS, "compression": "zlib"}),
    "properties": ("object", PROPERTIES),
    "content type by hand": ("text", {"content_type": "text/x-own", "content_encoding": "latin-1"}),
    "transient": ("object", {"delivery_mode": "transient"}),
}


@pytest.fixture(scope="session")
def url(servers: Any) -> str:
    return str(servers.env("rabbitmq")["RABBITMQ_URL"])


@pytest.fixture
def published(url: str, tmp_path: Path) -> Published:
    return Published(published_python("brotli", "backports.zstd"), url, {}, tmp_path)


@pytest.fixture
def connection(url: str) -> Iterator[Any]:
    with Connection(url) as connection:
        yield connection


@pytest.fixture
def name() -> str:
    return f"interop-{uuid4().hex[:10]}"


@pytest.fixture
def remove(connection: Any) -> Iterator[Callable[..., None]]:
    """Deletes these queues and exchanges in the end."""
    queues: list[str] = []
    exchanges: list[str] = []

    def remove(*names: str, exchange: str = "") -> None:
        queues.extend(names)
        exchanges.extend(filter(None, [exchange]))

    yield remove
    channel = connection.channel()
    for queue in queues:
        channel.queue_delete(queue)
    for exchange in exchanges:
        channel.exchange_delete(exchange)


def received(connection: Any, queue: Queue, count: int, timeout: float = 20) -> list[Any]:
    """Messages of a queue, acknowledged."""
    messages: list[Any] = []
    deadline = time.monotonic() + timeout
    with connection.Consumer(queue, on_message=messages.append, accept=ACCEPT):
        while len(messages) < count:
            connection.drain_events(timeout=max(0.01, deadline - time.monotonic()))
    for message in messages:
        message.ack()
    return messages


def raw(url: str, queue: str, count: int) -> list[Any]:
    """Messages of a queue as py-amqp has them off the wire, without kombu."""
    address = urlsplit(url)
    with amqp.Connection(f"{address.hostname}:{address.port}") as plain:
        channel = plain.channel()
        channel.auto_decode = False
        found = []
        deadline = time.monotonic() + 20
        while len(found) < count and time.monotonic() < deadline:
            message = channel.basic_get(queue, no_ack=True)
            if message is not None:
                found.append(message)
    return found


def described(message: Any) -> dict[str, Any]:
    """As ``peer.py`` describes it on the other side, without what the broker counts."""
    return without_tag(Peer(None).describe(message))


def without_tag(description: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in description.items() if key != "delivery_tag"}


def test_it_is_the_published_one(published: Published) -> None:
    assert published.run("version")["kombu"] == VERSION


@pytest.mark.parametrize("case", CASES)
@pytest.mark.interop("queue")
@pytest.mark.interop("fanout")
def test_the_same_message_from_both_is_the_same_to_all(
    published: Published, connection: Any, name: str, url: str, remove: Any, case: str
) -> None:
    kind, options = CASES[case]
    exchange = Exchange(name, type="fanout")
    mine, theirs, wire = (
        Queue(f"{name}-{reader}", exchange, routing_key="k")(connection.default_channel)
        for reader in ("ours", "published", "wire")
    )
    for queue in (mine, theirs, wire):
        queue.declare()
    remove(mine.name, theirs.name, wire.name, exchange=name)
    flags = {"exchange": name, "exchange_type": "fanout", "binding_key": "k"}
    reading = published.start("consume", theirs.name, "2", **flags)
    Published.ready(reading)

    published.run("produce", theirs.name, "1", publish=options, body_kind=kind, **flags)
    connection.Producer().publish(BODIES[kind], exchange=name, routing_key="k", **options)

    of_published, of_ours = raw(url, wire.name, 2)
    assert of_ours.properties == of_published.properties
    compression = (of_ours.properties.get("application_headers") or {}).get("compression")
    bodies = [bytes(of_ours.body), bytes(of_published.body)]
    if compression:
        bodies = [decompress(body, compression) for body in bodies]
    assert bodies[0] == bodies[1]

    by_ours = [described(message) for message in received(connection, mine, 2)]
    by_published = [without_tag(each) for each in Published.result(reading)["received"]]
    assert by_ours[0] == by_ours[1]
    assert by_published[0] == by_published[1]
    assert by_ours == by_published
    assert "body_error" not in by_ours[0] or case == "content type by hand"


@pytest.mark.parametrize("command", ["consume", "get"])
@pytest.mark.interop("queue")
def test_many_in_their_order(
    published: Published, connection: Any, name: str, remove: Any, command: str
) -> None:
    queue = Queue(name)(connection.default_channel)
    queue.declare()
    remove(name)
    with connection.Producer() as producer:
        for number in range(50):
            producer.publish({"i": number}, routing_key=name)
    got = published.run(command, name, "50")["received"]
    assert [each["body"]["i"] for each in got] == list(range(50))
    published.run("produce", name, "50")
    assert [m.payload["i"] for m in received(connection, queue, 50)] == list(range(50))


QUEUE_OPTIONS: dict[str, Any] = {
    "expires": 60,
    "message_ttl": 5.5,
    "max_length": 30,
    "max_length_bytes": 4096,
    "max_priority": 10,
    "queue_arguments": {"x-dead-letter-exchange": "dead", "x-overflow": "reject-publish"},
}


@pytest.mark.interop("queue")
def test_a_queue_declared_by_either_is_equivalent_for_the_other(
    published: Published, connection: Any, name: str, remove: Any
) -> None:
    """RabbitMQ compares every argument, and refuses with 406 when one differs."""
    remove(f"{name}-1", f"{name}-2", exchange=name)
    exchange = Exchange(name, type="topic", arguments={"x": 1})
    options: dict[str, Any] = {
        "exchange": name,
        "exchange_type": "topic",
        "exchange_options": {"arguments": {"x": 1}},
        "binding_key": "a.#",
        "queue_options": QUEUE_OPTIONS,
    }
    published.run("declare", f"{name}-1", **options)
    channel = connection.default_channel
    for number in (1, 2):
        Queue(f"{name}-{number}", exchange, routing_key="a.#", **QUEUE_OPTIONS)(channel).declare()
    published.run("declare", f"{name}-2", **options)
    assert published.run("size", f"{name}-2")["size"] == 0


@pytest.mark.parametrize("end", ["close-holding", "crash-holding"])
@pytest.mark.interop("requeue", "published->ours")
def test_what_published_held_is_redelivered_here(
    published: Published, connection: Any, name: str, remove: Any, end: str
) -> None:
    remove(name)
    published.run("produce", name, "2")
    published.run(end, name, "2")
    messages = received(connection, Queue(name), 2)
    assert [message.payload["i"] for message in messages] == [0, 1]
    assert [message.delivery_info["redelivered"] for message in messages] == [True, True]


@pytest.mark.interop("requeue", "ours->published")
def test_what_ours_held_is_redelivered_there(
    published: Published, connection: Any, name: str, remove: Any
) -> None:
    remove(name)
    published.run("produce", name, "2")
    channel = connection.channel()
    assert channel.basic_get(name)
    channel.close()
    got = published.run("consume", name, "2")["received"]
    assert [each["body"]["i"] for each in got] == [0, 1]
    assert [each["redelivered"] for each in got] == [True, False]


@pytest.mark.interop("fanout")
def test_fanout_both_ways(published: Published, connection: Any, name: str, remove: Any) -> None:
    remove(f"{name}-q", exchange=name)
    exchange = Exchange(name, type="fanout")
    queue = Queue(f"{name}-q", exchange)(connection.default_channel)
    queue.declare()
    published.run("fanout-produce", name, "2")
    assert len(received(connection, queue, 2)) == 2
    process = published.start("fanout-consume", name, "2")
    published.ready(process)
    for number in range(2):
        connection.Producer().publish({"i": number}, exchange=exchange)
    assert published.result(process)["count"] == 2


@pytest.mark.interop("priority")
def test_priorities_both_ways(
    published: Published, connection: Any, name: str, remove: Any
) -> None:
    remove(name)
    options = {"max_priority": 9}
    published.run("produce", name, "3", priorities=[0, 9, 5], queue_options=options)
    queue = Queue(name, **options)(connection.default_channel)
    assert [m.payload["i"] for m in received(connection, queue, 3)] == [1, 2, 0]
    for priority in (0, 9, 5):
        connection.Producer().publish(priority, routing_key=name, priority=priority)
    got = published.run("consume", name, "3", queue_options=options)["received"]
    assert [each["body"] for each in got] == [9, 5, 0]


@pytest.mark.interop("pidbox", "ours->published")
def test_remote_control_of_published(published: Published, connection: Any, name: str) -> None:
    process = published.start("pidbox-node", name, "their.host", limit=2, timeout=20)
    published.ready(process)
    mailbox = Mailbox(name, type="fanout", connection=connection, accept=["json"])
    for method, arguments, reply in (
        ("ping", {}, {"ok": "pong"}),
        ("echo", {"a": [1, None]}, {"a": [1, None]}),
    ):
        replies = mailbox._broadcast(method, arguments, reply=True, timeout=10, limit=1)
        assert replies == [{"their.host": reply}]
    assert [call[0] for call in published.result(process)["calls"]] == ["ping", "echo"]


@pytest.mark.interop("pidbox", "published->ours")
def test_remote_control_by_published(published: Published, connection: Any, name: str) -> None:
    answer_a_call(published, connection, name)


class TestDelayedDelivery:
    """Both declare the same exchanges, queues and bindings; a delay of either works for both."""

    @pytest.fixture(params=["classic", "quorum"])
    def queue_type(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def prefix(self, name: str, remove: Any) -> str:
        for level in range(28):
            remove(level_name(level, name), exchange=level_name(level, name))
        remove(exchange=f"{name}_celery_delayed_delivery")
        return name

    @pytest.mark.parametrize("first", ["published", "ours"])
    def test_either_declares_first(
        self, published: Published, connection: Any, prefix: str, queue_type: str, first: str
    ) -> None:
        def ours() -> None:
            declare_native_delayed_delivery_exchanges_and_queues(connection, queue_type, prefix)

        def theirs() -> None:
            published.run("delayed-declare", prefix=prefix, queue_type=queue_type)

        for declare in (theirs, ours) if first == "published" else (ours, theirs):
            declare()

    def test_both_bind_alike(
        self, published: Published, connection: Any, servers: Any, prefix: str, queue_type: str
    ) -> None:
        management = urlsplit(servers.env("rabbitmq")["RABBITMQ_MANAGEMENT_URL"])
        manager = connection.get_manager(hostname=management.hostname, port=management.port)

        def bindings() -> set[tuple[str, ...]]:
            return {
                tuple(each[what] for what in ("source", "destination", "routing_key"))
                for each in manager.get_bindings("/")
                if each["source"].startswith(prefix)
            }

        published.run("delayed-declare", prefix=prefix, queue_type=queue_type)
        of_published = bindings()
        channel = connection.default_channel
        for level in range(28):
            channel.exchange_delete(level_name(level, prefix))
        channel.exchange_delete(f"{prefix}_celery_delayed_delivery")
        assert bindings() == set()
        declare_native_delayed_delivery_exchanges_and_queues(connection, queue_type, prefix)
        assert bindings() == of_published
        assert len(of_published) == 2 * 28

    @pytest.mark.parametrize("declared_by", ["published", "ours"])
    def test_a_delay_by_either(
        self,
        published: Published,
        connection: Any,
        prefix: str,
        remove: Any,
        declared_by: str,
    ) -> None:
        if declared_by == "published":
            published.run("delayed-declare", prefix=prefix)
        else:
            declare_native_delayed_delivery_exchanges_and_queues(connection, "classic", prefix)
        exchange = Exchange(f"{prefix}-x", type="topic")
        queue = Queue(f"{prefix}-q", exchange, routing_key="dest")(connection.default_channel)
        remove(queue.name, exchange=exchange.name)
        queue.declare()
        bind_queue_to_native_delayed_delivery_exchange(connection, queue, prefix=prefix)
        key, top = calculate_routing_key(1, "dest"), level_name(27, prefix)
        begin = time.monotonic()
        connection.Producer().publish({"i": 0, "tag": "peer"}, exchange=top, routing_key=key)
        flags = {"exchange": top, "exchange_type": "topic", "routing_key": key}
        published.run("produce", "none", "1", no_queue_declare=True, **flags)
        messages = received(connection, queue, 2)
        assert time.monotonic() - begin >= 0.95
        assert [message.payload for message in messages] == [{"i": 0, "tag": "peer"}] * 2
        assert messages[0].headers.keys() == messages[1].headers.keys()
