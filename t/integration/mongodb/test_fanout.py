"""Fanout: a subscriber that lags less than the collection's size misses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from kombu import Connection, Exchange, Queue
from kombu.testing.faults import FaultProxy
from t.services.pool import Servers

pytestmark = pytest.mark.server("mongodb")

NEWS = Exchange("news", type="fanout")


@pytest.fixture
def proxy(servers: Servers) -> Iterator[FaultProxy]:
    proxy = FaultProxy("127.0.0.1", int(servers.env("mongodb")["MONGODB_PORT"])).start()
    yield proxy
    proxy.stop()


@pytest.fixture
def connect(servers: Servers, proxy: FaultProxy) -> Iterator[Callable[..., Any]]:
    name = f"fanout_{uuid4().hex[:8]}"
    opened: list[Any] = []

    def connect(port: int | None = None, **options: Any) -> Any:
        port = port or int(servers.env("mongodb")["MONGODB_PORT"])
        url = f"mongodb://127.0.0.1:{port}/{name}?directConnection=true"
        opened.append(Connection(url, transport_options={"socket_timeout": 3, **options}))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.release()


def read(connection: Any, came: list[Any], count: int, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while len(came) < count and time.monotonic() < end:
        try:
            connection.drain_events(timeout=0.5)
        except TimeoutError:
            continue


def test_a_subscriber_that_reads_late_misses_nothing(connect: Callable[..., Any]) -> None:
    reader, writer = connect(), connect()
    came: list[Any] = []
    with reader.Consumer([Queue("late", NEWS)], on_message=lambda m: came.append(m.payload)):
        producer = writer.Producer(exchange=NEWS)
        for number in range(100):
            producer.publish(number)
        read(reader, came, 100)
    assert came == list(range(100))


def test_a_subscriber_that_was_cut_off_misses_nothing(
    connect: Callable[..., Any], proxy: FaultProxy
) -> None:
    reader, writer = connect(proxy.port), connect()
    came: list[Any] = []
    with reader.Consumer([Queue("cut", NEWS)], on_message=lambda m: came.append(m.payload)):
        producer = writer.Producer(exchange=NEWS)
        producer.publish("first")
        read(reader, came, 1)
        proxy.set(refuse=True)
        proxy.reset()
        for number in range(50):
            producer.publish(number)
        proxy.heal()
        read(reader, came, 51)
    assert came == ["first", *range(50)]


def test_what_rolled_out_of_the_collection_is_missed_and_the_rest_is_not(
    connect: Callable[..., Any], proxy: FaultProxy
) -> None:
    """More than the cap while a subscriber is away: it hears all that is still there, once."""
    options = {"capped_queue_size": 8_192}
    reader, writer = connect(proxy.port, **options), connect(**options)
    came: list[Any] = []
    with reader.Consumer([Queue("far", NEWS)], on_message=lambda m: came.append(m.payload)):
        producer = writer.Producer(exchange=NEWS)
        producer.publish("first")
        read(reader, came, 1)
        proxy.set(refuse=True)
        proxy.reset()
        for number in range(100):
            producer.publish(number)
        proxy.heal()
        read(reader, came, 1_000, seconds=8)
    assert came[0] == "first"
    assert came[1:] == list(range(came[1], 100))
    assert came[1] > 0


def test_a_subscriber_that_lost_its_place_hears_of_busy_exchanges(
    connect: Callable[..., Any], proxy: FaultProxy
) -> None:
    """It does not wait for a silence, which may never come, to learn that its place is gone."""
    options = {"capped_queue_size": 8_192}
    reader, writer = connect(proxy.port, **options), connect(**options)
    came: list[Any] = []
    with reader.Consumer([Queue("busy", NEWS)], on_message=lambda m: came.append(m.payload)):
        producer = writer.Producer(exchange=NEWS)
        producer.publish("first")
        read(reader, came, 1)
        proxy.set(refuse=True)
        proxy.reset()
        for number in range(100):
            producer.publish(number)
        proxy.heal()
        end = time.monotonic() + 15
        while len(came) < 2 and time.monotonic() < end:
            producer.publish("never silent")
            read(reader, came, 2, seconds=0.2)
    assert len(came) > 1
