"""Old and new share one server: the published kombu 5.7.0 runs in an environment of its own."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.pidbox import Mailbox
from t import peers
from t.integration.redis.servers import RedisServer

PEER = Path(__file__).with_name("published_peer.py")


@pytest.fixture(scope="session")
def published_python() -> str:
    """An interpreter that has the published kombu; its redis transport needs packaging, too."""
    return peers.published_python("packaging")


class Peer:
    def __init__(self, python: str, what: str, url: str, **order: Any) -> None:
        self.process = subprocess.Popen(
            [python, str(PEER), what, url, json.dumps(order)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=PEER.parent,
            env=peers.without_paths(),
        )

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        assert text, f"the peer ended with {self.process.wait()}"
        return dict(json.loads(text))

    def end(self) -> None:
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(params=["", "p_"], ids=["plain", "prefix"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"global_keyprefix": request.param} if request.param else {}


@pytest.fixture
def peer(
    published_python: str, server: RedisServer, options: dict[str, Any]
) -> Iterator[Callable[..., Peer]]:
    started: list[Peer] = []

    def start(what: str, **order: Any) -> Peer:
        order["options"] = {**options, **order.get("options", {})}
        started.append(Peer(published_python, what, server.url, **order))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.end()


@pytest.fixture
def connect(server: RedisServer, options: dict[str, Any]) -> Iterator[Callable[..., Connection]]:
    opened: list[Connection] = []

    def open_one(**more: Any) -> Connection:
        opened.append(Connection(server.url, transport_options={**options, **more}))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()


def receive(connection: Connection, queue: Queue, count: int, seconds: float = 10.0) -> list[Any]:
    got: list[Any] = []
    with Consumer(
        connection.channel(),
        [queue],
        on_message=lambda message: (got.append(message), message.ack()),
    ):
        end = time.monotonic() + seconds
        while len(got) < count and time.monotonic() < end:
            try:
                connection.drain_events(timeout=0.5)
            except TimeoutError:
                continue
    return got


BODIES = [{"n": number} for number in range(5)]


@pytest.mark.parametrize(
    "route",
    [
        {},
        {"exchange": "x", "type": "direct", "key": "k", "routing_key": "k"},
        {"exchange": "t", "type": "topic", "key": "a.*.#", "routing_key": "a.b.c"},
    ],
    ids=["default", "direct", "topic"],
)
def test_old_produces_new_consumes_and_back(
    peer: Callable[..., Peer], connect: Callable[..., Connection], route: dict[str, Any]
) -> None:
    queue = (
        Queue("q", Exchange(route["exchange"], route["type"]), route["key"])
        if route
        else Queue("q")
    )
    connection = connect()
    queue(connection.channel()).declare()
    # the old producer finds the binding the new consumer made
    peer("produce", queue="q", bodies=BODIES, declare=route.get("type") != "direct", **route).line()
    assert [message.payload for message in receive(connection, queue, 5)] == BODIES
    # and the new producer routes by what is stored, to the old consumer
    producer = Producer(connect().channel())
    for body in BODIES:
        producer.publish(
            body, exchange=route.get("exchange", ""), routing_key=route.get("routing_key", "q")
        )
    old = peer("consume", queue="q", count=5, **route)
    old.line()
    assert old.line()["bodies"] == BODIES


def test_priorities_of_old_producers_order_new_consumers(
    peer: Callable[..., Peer], connect: Callable[..., Connection]
) -> None:
    for priority in (9, 0, 3):
        peer("produce", queue="q", bodies=[priority], publish={"priority": priority}).line()
    got = receive(connect(), Queue("q"), 3)
    assert [message.payload for message in got] == [0, 3, 9]


def test_new_restores_what_an_old_consumer_died_with(
    peer: Callable[..., Peer], connect: Callable[..., Connection]
) -> None:
    queue = Queue("q", Exchange("t", "topic"), "a.*")
    old_route = {"exchange": "t", "type": "topic", "key": "a.*"}
    peer("produce", queue="q", bodies=BODIES, routing_key="a.b", **old_route).line()
    old = peer("consume", queue="q", count=5, how="die", **old_route)
    old.line()
    assert len(old.line()["bodies"]) == 5
    old.end()
    # this process has never declared the exchange as a topic
    connection = connect(visibility_timeout=1)
    got = receive(connection, Queue("q"), 5)
    assert sorted(message.payload["n"] for message in got) == [0, 1, 2, 3, 4]
    assert all(message.delivery_info["redelivered"] for message in got)
    assert queue.name == "q"


def test_old_restores_what_a_new_consumer_died_with(
    peer: Callable[..., Peer], connect: Callable[..., Connection]
) -> None:
    connection = connect()
    channel = connection.channel()
    queue = Queue("q", Exchange("x", "direct"), "k")
    queue(channel).declare()
    for body in BODIES:
        Producer(channel).publish(body, exchange="x", routing_key="k")
    held = [message for _ in BODIES if (message := queue(channel).get()) is not None]
    assert len(held) == 5
    connection.transport.keeper.abandon()  # what a SIGKILL does to renewal
    route = {"exchange": "x", "type": "direct", "key": "k"}
    short = {"visibility_timeout": 0.2, "unacked_restore_throttle": 1}
    deadline = time.monotonic() + 10
    while channel._size("q") < 5 and time.monotonic() < deadline:
        peer("restore", queue="q", options=short, **route).line()
    old = peer("consume", queue="q", count=5, **route)
    old.line()
    result = old.line()
    assert sorted(body["n"] for body in result["bodies"]) == [0, 1, 2, 3, 4]
    assert all(result["redelivered"])
    # an acknowledgement that comes late hurts nobody
    for message in held:
        message.ack()


def test_old_sweeps_leave_a_living_new_owner_alone(
    peer: Callable[..., Peer], connect: Callable[..., Connection]
) -> None:
    connection = connect(lease=0.9)
    channel = connection.channel()
    Queue("q")(channel).declare()
    Producer(channel).publish("held", routing_key="q")
    held = Queue("q")(channel).get()
    assert held is not None
    short = {"visibility_timeout": 0.8, "unacked_restore_throttle": 1}
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        peer("restore", queue="q", options=short).line()
        assert channel._size("q") == 0
    held.ack()


def test_what_old_requeues_new_receives(
    peer: Callable[..., Peer], connect: Callable[..., Connection]
) -> None:
    Producer(connect().channel()).publish({"n": 1}, routing_key="q", declare=[Queue("q")])
    old = peer("consume", queue="q", count=1, how="requeue")
    old.line()
    old.line()
    (message,) = receive(connect(), Queue("q"), 1)
    assert message.payload == {"n": 1}
    assert message.headers["redelivered"] is True


def test_what_new_requeues_old_receives(
    peer: Callable[..., Peer], connect: Callable[..., Connection]
) -> None:
    channel = connect().channel()
    Producer(channel).publish({"n": 1}, routing_key="q", declare=[Queue("q")])
    message = Queue("q")(channel).get()
    assert message is not None
    message.requeue()
    old = peer("consume", queue="q", count=1)
    old.line()
    assert old.line() == {"bodies": [{"n": 1}], "redelivered": [True]}


def test_priorities_of_new_producers_order_old_consumers(
    peer: Callable[..., Peer], connect: Callable[..., Connection]
) -> None:
    producer = Producer(connect().channel())
    for priority in (9, 0, 3):
        producer.publish(priority, routing_key="q", priority=priority, declare=[Queue("q")])
    old = peer("consume", queue="q", count=3, prefetch=1)
    old.line()
    assert old.line()["bodies"] == [0, 3, 9]


@pytest.mark.parametrize("rejecting", ["old", "new"])
def test_what_one_side_rejects_the_other_does_not_see(
    peer: Callable[..., Peer],
    connect: Callable[..., Connection],
    server: RedisServer,
    options: dict[str, Any],
    rejecting: str,
) -> None:
    connection = connect(visibility_timeout=0.5)
    channel = connection.channel()
    queue = Queue("q")(channel)
    if rejecting == "old":
        Producer(channel).publish({"n": 1}, routing_key="q", declare=[Queue("q")])
        old = peer("consume", queue="q", count=1, how="reject")
        old.line()
        assert old.line()["bodies"] == [{"n": 1}]
        old.end()
        assert receive(connection, Queue("q"), 1, seconds=1) == []
    else:
        peer("produce", queue="q", bodies=[{"n": 1}]).line()
        message = queue.get()
        assert message is not None
        message.reject()
        short = {"visibility_timeout": 0.2, "unacked_restore_throttle": 1}
        peer("restore", queue="q", options=short).line()
        assert channel._size("q") == 0
    prefix = options.get("global_keyprefix", "")
    admin = server.client()
    assert admin.hlen(f"{prefix}unacked") == admin.zcard(f"{prefix}unacked_index") == 0


def test_a_batch_of_new_producers_reaches_old_consumers_in_order(
    peer: Callable[..., Peer], connect: Callable[..., Connection]
) -> None:
    producer = Producer(connect().channel())
    bodies = [{"n": number} for number in range(20)]
    with producer.batch():
        for body in bodies:
            producer.publish(body, routing_key="q", declare=[Queue("q")])
    old = peer("consume", queue="q", count=20)
    old.line()
    assert old.line()["bodies"] == bodies


def test_fanout_reaches_old_and_new(
    peer: Callable[..., Peer], connect: Callable[..., Connection]
) -> None:
    connection = connect()
    exchange = Exchange("fan", "fanout")
    old = peer("fanout", exchange="fan", queue="old", count=2)
    old.line()
    got: list[Any] = []
    with Consumer(
        connection.channel(),
        [Queue("new", exchange, auto_delete=True)],
        on_message=lambda message: (got.append(message.payload), message.ack()),
    ):
        Producer(connect().channel()).publish("from new", exchange=exchange, declare=[exchange])
        peer("fanout_produce", exchange="fan", bodies=["from old"]).line()
        while len(got) < 2:
            connection.drain_events(timeout=10)
    assert got == ["from new", "from old"]
    assert old.line()["bodies"] == ["from new", "from old"]


def test_a_new_producer_that_never_declared_the_fanout_finds_its_type(
    connect: Callable[..., Connection],
) -> None:
    connection = connect()
    queue = Queue("new", Exchange("fan", "fanout"), auto_delete=True)
    got: list[Any] = []
    with Consumer(
        connection.channel(),
        [queue],
        on_message=lambda message: (got.append(message.payload), message.ack()),
    ):
        Producer(connect().channel()).publish("hello", exchange="fan")
        connection.drain_events(timeout=5)
    assert got == ["hello"]


def test_remote_control_both_ways(
    peer: Callable[..., Peer], connect: Callable[..., Connection]
) -> None:
    old = peer("node", namespace="ns", name="old")
    old.line()
    mailbox = Mailbox("ns", type="fanout", connection=connect())
    assert mailbox._broadcast("ping", {}, reply=True, timeout=5, limit=1) == [
        {"old": {"ok": "pong"}}
    ]
    connection = connect()
    node = Mailbox("ns2", type="fanout", connection=connection).Node(
        "new", channel=connection.channel(), handlers={"ping": lambda state, **_: {"ok": "new"}}
    )
    consumer = node.listen()
    caller = peer("call", namespace="ns2")
    end = time.monotonic() + 10
    while caller.process.poll() is None and time.monotonic() < end:
        try:
            connection.drain_events(timeout=0.2)
        except TimeoutError:
            continue
    consumer.cancel()
    assert caller.line()["replies"] == [{"new": {"ok": "new"}}]


def test_bindings_of_expiring_queues_are_kept_by_consumers_and_swept_when_overdue(
    connect: Callable[..., Connection], server: RedisServer, options: dict[str, Any]
) -> None:
    connection = connect()
    queue = Queue("e", Exchange("ex", "direct"), "k", expires=30)
    queue(connection.channel()).declare()
    admin = server.client()
    prefix = options.get("global_keyprefix", "")
    deadlines = f"{prefix}_kombu.binding_deadlines"
    deadline = admin.zscore(deadlines, "ex")
    assert deadline / 1000 - time.time() == pytest.approx(3600, abs=30)
    assert not admin.exists(f"{prefix}_kombu.binding_permanent.ex")
    # a table whose consumers are gone
    admin.sadd(f"{prefix}_kombu.binding.old", "k\x06\x16\x06\x16q")
    admin.zadd(deadlines, {"old": 1})
    assert receive(connection, queue, 1, seconds=0.3) == []
    assert not admin.exists(f"{prefix}_kombu.binding.old")
    assert admin.exists(f"{prefix}_kombu.binding.ex")
