"""Sessions that are lost, links that are cut, queues that are long."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from amqp.exceptions import ChannelError
from amqp.exceptions import ConnectionError as AMQPConnectionError
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl

from kombu import Connection, Exchange, Queue
from kombu.mixins import ConsumerMixin
from kombu.testing.faults import FaultProxy
from kombu.transport.zookeeper.paths import Paths
from kombu.transport.zookeeper.session import Session
from t.services.pool import Servers

#: 100,000 were seen; fewer where every run has to fill them in.
ENTRIES = int(os.environ.get("KOMBU_TEST_ENTRIES", "3000"))

pytestmark = [pytest.mark.server("zookeeper"), pytest.mark.timeout(90 + ENTRIES / 100)]


@pytest.fixture
def proxy(servers: Servers) -> Iterator[FaultProxy]:
    host, _, port = servers.env("zookeeper")["ZOOKEEPER_HOSTS"].rpartition(":")
    proxy = FaultProxy(host, int(port)).start()
    yield proxy
    proxy.stop()


@pytest.fixture
def connect(servers: Servers, proxy: FaultProxy) -> Iterator[Callable[..., Any]]:
    path = f"/sessions-{uuid4().hex[:8]}"
    opened: list[Any] = []

    def connect(port: int | None = None, **options: Any) -> Any:
        at = f"zookeeper://127.0.0.1:{port}" if port else servers.env("zookeeper")["ZOOKEEPER_URL"]
        opened.append(
            Connection(f"{at}{path}", transport_options={"session_timeout": 4, **options})
        )
        return opened[-1]

    yield connect
    proxy.heal()  # to take leave of a server that is not there takes long
    proxy.reset()
    for connection in opened:
        connection.release()


class Worker(ConsumerMixin):
    def __init__(self, connection: Any, queue: str) -> None:
        self.connection = connection
        self.queue = Queue(queue)
        self.came: list[Any] = []
        self.hold = threading.Event()
        self.connected = 0

    def on_connection_revived(self) -> None:
        self.connected += 1

    def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:
        self.channel = channel
        return [Consumer([self.queue], on_message=self.received, prefetch_count=10)]

    def received(self, message: Any) -> None:
        self.came.append(message.payload)
        message.ack()


def until(condition: Callable[[], Any], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def test_a_consumer_whose_session_was_ended_goes_on(
    servers: Servers, connect: Callable[..., Any]
) -> None:
    producer = connect().Producer()
    worker = Worker(connect(), "q")
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        producer.publish("before", routing_key="q")
        until(lambda: worker.came == ["before"], "the first message")
        client = worker.channel.connection.store.session.client
        # Whoever has a session's id and password may close it: for its owner it has expired.
        thief = KazooClient(
            servers.env("zookeeper")["ZOOKEEPER_HOSTS"], timeout=4, client_id=client.client_id
        )
        thief.start()
        thief.stop()
        producer.publish("after", routing_key="q")
        until(lambda: "after" in worker.came, "the message after the session")
    finally:
        worker.should_stop = True
        thread.join(20)
    assert not thread.is_alive()


def test_what_a_lost_session_held_returns(connect: Callable[..., Any], proxy: FaultProxy) -> None:
    lost = connect(proxy.port)
    queue = Queue("q")(lost.channel())
    queue.declare()
    lost.Producer().publish("held", routing_key="q")
    assert queue.get().payload == "held"
    proxy.set(blackhole=True)
    other = Queue("q")(connect().channel())
    came: list[Any] = []
    until(lambda: came.append(other.get()) or came[-1] is not None, "the message comes back", 15)
    assert came[-1].payload == "held"
    assert came[-1].delivery_info["redelivered"]
    came[-1].ack()


def session_of(proxy: FaultProxy, root: str) -> Session:
    client = KazooClient(f"127.0.0.1:{proxy.port}", timeout=4)
    return Session(client, Paths(root), limit=1)


def test_a_session_that_is_refused_its_nodes_ends(servers: Servers, proxy: FaultProxy) -> None:
    root = f"/locked-{uuid4().hex[:8]}"
    owner = KazooClient(servers.env("zookeeper")["ZOOKEEPER_HOSTS"])
    owner.start()
    owner.create(root, acl=[make_digest_acl("somebody", "else", all=True)])
    session = session_of(proxy, root)
    with pytest.raises(ChannelError, match="NoAuth"):
        session.start(connect_timeout=5)
    assert not session.client.connected
    owner.stop()
    owner.close()


def test_a_session_whose_server_goes_as_it_begins_is_given_up_in_time(proxy: FaultProxy) -> None:
    session = session_of(proxy, f"/gone-{uuid4().hex[:8]}")
    start = session.client.start

    def start_and_lose(timeout: float) -> None:
        start(timeout=timeout)
        proxy.set(refuse=True)
        proxy.reset()
        until(lambda: not session.client.connected, "the connection is gone")

    session.client.start = start_and_lose
    begun = time.monotonic()
    with pytest.raises(AMQPConnectionError, match="connect to ZooKeeper"):
        session.start(connect_timeout=5)
    assert time.monotonic() - begun < 10


def test_what_was_bound_during_a_cut_is_known_after_it(
    connect: Callable[..., Any], proxy: FaultProxy
) -> None:
    cut = connect(proxy.port)
    exchange = Exchange("x", type="topic")
    first = Queue("first", exchange, routing_key="a.*")(cut.channel())
    first.declare()
    producer = cut.Producer()
    producer.publish(1, exchange="x", routing_key="a.b")
    client = cut.transport.store.session.client
    proxy.set(refuse=True)
    proxy.reset()
    until(lambda: not client.connected, "the connection is gone")
    second = Queue("second", exchange, routing_key="a.#")(connect().channel())
    second.declare()
    proxy.heal()
    until(lambda: client.connected, "the connection is back")
    producer.publish(2, exchange="x", routing_key="a.c", retry=True)
    until(lambda: second.queue_declare(passive=True).message_count == 1, "routed by the new one")


def requests_received(servers: Servers) -> int:
    """How many requests the server has had, by its own count."""
    host, _, port = servers.env("zookeeper")["ZOOKEEPER_HOSTS"].rpartition(":")
    with socket.create_connection((host, int(port)), 5) as line:
        line.sendall(b"srvr")
        text = line.makefile().read()
    return int(next(row for row in text.splitlines() if row.startswith("Received:")).split()[1])


def test_publishing_asks_nothing_of_the_server_but_to_store(
    servers: Servers, connect: Callable[..., Any]
) -> None:
    connection, other = connect(), connect()
    exchange = Exchange("x", type="topic")
    for number in range(20):
        Queue(f"q{number}", exchange, routing_key=f"k.{number}")(connection.channel()).declare()
    producer = connection.Producer()
    producer.publish("x", exchange="x", routing_key="k.1")
    before = requests_received(servers)
    for _ in range(50):
        producer.publish("x", exchange="x", routing_key="k.1")
    assert requests_received(servers) - before <= 70  # pings of all clients are among them
    # A watch tells what another client binds: soon, and at no cost of the publisher's.
    Queue("late", exchange, routing_key="k.1")(other.channel()).declare()
    late = Queue("late")(other.channel())

    def arrives() -> bool:
        producer.publish("late", exchange="x", routing_key="k.1")
        return late.queue_declare(passive=True).message_count > 0

    until(arrives, "routed to the late queue")


def test_a_long_queue_stays_usable(
    connect: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    connection = connect()
    queue = Queue("long")(connection.channel())
    queue.declare()
    with connection.Producer() as producer, producer.batch():
        for number in range(ENTRIES):
            producer.publish(number, routing_key="long")
    reader = connect()
    channel = reader.channel()
    long = Queue("long")(channel)
    begun = time.perf_counter()
    first = long.get()
    took = time.perf_counter() - begun
    assert first.payload == 0
    first.ack()
    listings: list[str] = []
    session = channel.connection.store.session
    children = session.children

    def counted(path: str, watch: Any = None) -> list[str]:
        listings.append(path)
        return list(children(path, watch=watch))

    session.children = counted
    stop = threading.Event()

    def publish() -> None:
        with connect() as writing:
            producer = writing.Producer()
            while not stop.is_set():
                producer.publish("more", routing_key="long")

    publisher = threading.Thread(target=publish)
    publisher.start()
    came: list[Any] = []

    def received(message: Any) -> None:
        came.append(message.payload)
        message.ack()

    wanted = min(ENTRIES - 1, 5_000)
    begun = time.perf_counter()
    with reader.Consumer([Queue("long")], on_message=received, prefetch_count=100):
        while len(came) < wanted:
            reader.drain_events(timeout=20)
    rate = wanted / (time.perf_counter() - begun)
    stop.set()
    publisher.join(20)
    with capsys.disabled():
        print(f" {ENTRIES} entries: first get {took * 1e3:.0f} ms, {rate:.0f}/s", end=" ")
    assert came[:wanted] == list(range(1, wanted + 1))
    # The queue is not listed anew for each of the entries that come meanwhile.
    assert sum(path.endswith("/long") for path in listings) < wanted / 20
