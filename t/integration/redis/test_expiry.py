"""Queues that expire (``x-expires``): not while they are consumed, and without leaving a trace."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.testing.conformance.store import envelope
from kombu.transport.redis.store import RedisStore
from kombu.transport.virtual.store import Put, QueueSpec
from t.integration.redis.servers import RedisServer

OpenStore = Callable[..., RedisStore]
EXCHANGE = Exchange("e")


@pytest.fixture(params=["redis", "redis+streams"])
def connect(request: pytest.FixtureRequest, server: RedisServer) -> Iterator[Callable[..., Any]]:
    opened: list[Connection] = []

    def connect_one(**options: Any) -> Connection:
        url = server.url.replace("redis", request.param, 1)
        opened.append(Connection(url, transport_options=options))
        return opened[-1]

    yield connect_one
    for connection in opened:
        connection.release()


def drain(connection: Connection, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            connection.drain_events(timeout=end - time.monotonic())
        except TimeoutError:
            return


def test_a_queue_whose_consumer_waits_does_not_expire(connect: Callable[..., Any]) -> None:
    connection, other = connect(), connect()
    queue = Queue("q", EXCHANGE, "k", expires=0.3)
    with Consumer(connection.channel(), [queue], on_message=print):
        drain(connection, 1.0)
        queue(other.channel()).queue_declare(passive=True)


def test_messages_do_not_expire_with_their_queue_while_its_consumer_is_at_work(
    connect: Callable[..., Any],
) -> None:
    connection, other = connect(lease=0.6), connect()
    got: list[Any] = []

    def handle(message: Any) -> None:
        time.sleep(0.0 if got else 1.5)
        got.append(message.payload)
        message.ack()

    queue = Queue("q", EXCHANGE, "k", expires=0.5)
    consumer = Consumer(connection.channel(), [queue], on_message=handle, prefetch_count=1)
    with consumer:
        producer = Producer(other.channel(), EXCHANGE, "k")
        producer.publish(1)
        producer.publish(2)
        drain(connection, 2.0)
        drain(connection, 0.5)
    assert got == [1, 2]


def test_a_queue_declared_anew_without_x_expires_keeps_its_messages(
    connect: Callable[..., Any], client: redis.Redis
) -> None:
    connection, other = connect(), connect()
    channel, producer = connection.channel(), Producer(other.channel(), EXCHANGE, "k")
    expiring = Queue("q", EXCHANGE, "k", expires=60)(channel)
    expiring.declare()
    producer.publish("before")
    expiring.delete()
    Queue("q", EXCHANGE, "k")(channel).declare()
    producer.publish("after")
    names = [name for name in client.keys("*") if client.type(name) in (b"list", b"stream")]
    assert [client.pttl(name) for name in names] == [-1]


def test_what_was_put_after_a_queues_end_stays_when_it_is_declared_anew(
    open_store: OpenStore, client: redis.Redis
) -> None:
    store = open_store()
    store.put([Put("q", envelope("a"))])
    client.pexpire("q", 60000)
    client.set("_kombu.expiring.q", 60000)
    store.declare(QueueSpec("q"))
    assert client.pttl("q") == -1


@pytest.mark.parametrize("streams", [False, True], ids=["lists", "streams"])
def test_a_queue_that_refuses_what_is_too_much_expires_too(
    open_store: OpenStore, client: redis.Redis, streams: bool
) -> None:
    store = open_store(streams=streams)
    arguments = {"x-max-length": 5, "x-overflow": "reject-publish", "x-expires": 30000}
    store.declare(QueueSpec("q", arguments=arguments))
    store.put([Put("q", envelope("a"))])
    assert 0 < client.pttl("_kombu.stream.q" if streams else "q") <= 30000


def test_bindings_of_a_queue_that_has_expired_do_not_become_permanent(
    connect: Callable[..., Any], client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kombu.transport.redis.topology._SHORTEST_TABLE_TTL", 600)
    connection = connect()
    channel = connection.channel()
    gone = Queue("gone", EXCHANGE, "k", expires=0.1)(channel)
    gone.declare()
    with Consumer(channel, [Queue("other", EXCHANGE, "o")], on_message=print):
        for _ in range(16):
            drain(connection, 0.05)
        assert not client.exists("_kombu.queue.gone")
    assert client.smembers("_kombu.binding_permanent.e") == {b"o\x06\x16\x06\x16other"}


@pytest.mark.parametrize("how", ["released", "restored"])
def test_what_comes_back_expires_with_its_queue(
    open_store: OpenStore, client: redis.Redis, how: str
) -> None:
    store = open_store(lease=0.1)
    store.declare(QueueSpec("q", arguments={"x-expires": 60000}))
    store.put([Put("q", envelope(text)) for text in "ab"])
    claims = store.claim(["q"], 2)
    deadline = time.monotonic() + 5
    if how == "released":
        store.settle(releases=claims[:1])
        store.settle(releases=claims[1:])
    while client.llen("q") < 2:
        open_store().sweep_if_due()
        assert time.monotonic() < deadline
    assert 0 < client.pttl("q") <= 60000
