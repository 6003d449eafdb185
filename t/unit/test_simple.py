from __future__ import annotations

from collections.abc import Iterator
from queue import Empty

import pytest

from kombu import Connection, Exchange, Queue
from kombu.simple import SimpleBuffer, SimpleQueue


@pytest.fixture
def connection() -> Iterator[Connection]:
    with Connection("memory://simple") as connection:
        yield connection


def test_put_and_get(connection: Connection) -> None:
    with connection.SimpleQueue("work") as queue:
        queue.put({"a": 1}, headers={"h": 2})
        message = queue.get(timeout=5)
        assert (message.payload, message.headers) == ({"a": 1}, {"h": 2})
        message.ack()
        assert queue.qsize() == 0


def test_order_and_size(connection: Connection) -> None:
    with connection.SimpleQueue("work") as queue:
        for number in range(5):
            queue.put(number)
        assert (queue.qsize(), len(queue), bool(queue)) == (5, 5, True)
        got = []
        for _ in range(5):
            message = queue.get(timeout=5)
            message.ack()
            got.append(message.payload)
        assert got == list(range(5))


def test_empty(connection: Connection) -> None:
    with connection.SimpleQueue("empty") as queue:
        assert bool(queue)
        for get in (queue.get_nowait, lambda: queue.get(block=False), lambda: queue.get(timeout=0)):
            with pytest.raises(Empty):
                get()
        with pytest.raises(queue.Empty):
            queue.get(timeout=0.02)


def test_get_nowait_returns_what_was_received_already(connection: Connection) -> None:
    with connection.SimpleQueue("work") as queue:
        queue.put(1)
        queue.put(2)
        first = queue.get(timeout=5)
        second = queue.get_nowait()
        assert (first.payload, second.payload) == (1, 2)
        first.ack()
        second.ack()


def test_clear(connection: Connection) -> None:
    with connection.SimpleQueue("work") as queue:
        for number in range(3):
            queue.put(number)
        queue.get(timeout=5).ack()
        assert queue.clear() == 2
        with pytest.raises(Empty):
            queue.get_nowait()


def test_what_was_received_but_not_asked_for_goes_back(connection: Connection) -> None:
    with connection.SimpleQueue("work") as queue:
        queue.put(1)
        queue.put(2)
        queue.get(timeout=5).ack()
        while not queue.buffer:
            connection.drain_events(timeout=5)
    again = connection.SimpleQueue("work")
    assert again.get(timeout=5).payload == 2


def test_a_queue_of_ones_own(connection: Connection) -> None:
    own = Queue("named", Exchange("ex", "topic"), routing_key="rk")
    queue = connection.SimpleQueue(own)
    queue.put("x")
    assert queue.get(timeout=5).delivery_info["routing_key"] == "rk"
    assert queue.producer.exchange.name == "ex"


def test_options(connection: Connection) -> None:
    queue = connection.SimpleQueue(
        "options",
        queue_opts={"durable": False},
        queue_args={"x-max-length": 5},
        exchange_opts={"type": "topic"},
        serializer="json",
        compression="zlib",
        accept=["json"],
    )
    assert queue.queue.durable is False
    assert queue.queue.queue_arguments == {"x-max-length": 5}
    assert queue.queue.exchange.type == "topic"
    assert SimpleQueue.queue_opts == {}
    queue.put("x" * 1000)
    message = queue.get(timeout=5)
    assert message.headers["compression"] == "application/x-gzip"
    assert message.payload == "x" * 1000


def test_buffers_are_short_lived(connection: Connection) -> None:
    buffer = connection.SimpleBuffer("buffer")
    assert (buffer.queue.durable, buffer.queue.exclusive, buffer.queue.auto_delete) == (
        False, True, True,
    )  # fmt: skip
    assert buffer.queue.exchange.delivery_mode == 1
    buffer.put(1)
    assert buffer.get(timeout=5).payload == 1
    assert SimpleBuffer.no_ack


def test_on_a_channel(connection: Connection) -> None:
    channel = connection.channel()
    assert SimpleQueue(channel, "on a channel").channel is channel
    assert connection.SimpleQueue("default").channel is connection.default_channel
