"""The in-memory broker, and mixins and remote control on it."""

from __future__ import annotations

import statistics
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from amqp.exceptions import ChannelError

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.mixins import ConsumerMixin
from t.faults.broker import Broker, consume, drain, payloads, take


@pytest.mark.fault(24)
def test_an_idle_consumer_is_woken(memory: Broker) -> None:
    # Not by Broker.connection, which lets the published package look more often.
    with Connection(memory.url) as client, Connection(memory.url) as other:
        name = memory.queue(client.channel())
        late: list[float] = []
        consumer = Consumer(client, [Queue(name)], no_ack=True, auto_declare=False)
        consumer.on_message = lambda message: late.append(time.perf_counter() - message.payload)
        consumer.consume()
        producer = Producer(other)
        for _ in range(3):
            timer = threading.Timer(
                0.05, lambda: producer.publish(time.perf_counter(), routing_key=name)
            )
            timer.start()
            client.drain_events(timeout=5)
            timer.join()
    assert statistics.median(late) < 0.1


@pytest.mark.fault(40)
def test_what_a_closed_channel_held_is_requeued(memory: Broker) -> None:
    client = memory.connection()
    channel = client.channel()
    name = memory.queue(channel, "x")
    _, got = consume(channel, name)
    drain(client, lambda: got)
    channel.close()
    assert payloads(take(client.channel(), name, 1, limit=1)) == ["x"]


@pytest.mark.fault(40)
def test_exclusive_queues_go_with_their_connection(memory: Broker) -> None:
    owner = memory.connection()
    name = memory.name("mine")
    owner.channel().queue_declare(name, exclusive=True)
    owner.close()
    with pytest.raises(ChannelError) as caught:
        memory.connection().channel().queue_declare(name, passive=True)
    assert caught.value.reply_code == 404


@pytest.mark.fault(40)
def test_brokers_share_nothing_but_their_name(memory: Broker) -> None:
    channel = memory.connection().channel()
    name = memory.queue(channel, "x")
    with Connection(memory.url + "-another") as other:
        assert other.channel().queue_declare(name, durable=True).message_count == 0


# ---- bodies


@pytest.mark.fault(36)
def test_a_bomb_is_refused(memory: Broker) -> None:
    deflater = zlib.compressobj(9)
    block = b" " * 1_000_000
    bomb = b"".join(deflater.compress(block) for _ in range(300)) + deflater.flush()
    channel = memory.connection().channel()
    name = memory.queue(channel)
    memory.put(
        channel,
        name,
        bomb,
        content_type="application/data",
        content_encoding="binary",
        headers={"compression": "application/x-gzip"},
    )
    message = channel.basic_get(name)
    with pytest.raises(Exception, match="limit"):
        len(message.payload)


# ---- mixins


class Worker(ConsumerMixin):
    """Takes what it can decode."""

    def __init__(self, connection: Any, queue: Queue) -> None:
        self.connection = connection
        self.queue = queue
        self.handled: list[Any] = []

    def get_consumers(self, make: Callable[..., Any], channel: Any) -> list[Any]:
        return [make([self.queue], callbacks=[self.handle], accept=["json"])]

    def handle(self, body: Any, message: Any) -> None:
        self.handled.append(body)
        message.ack()


@pytest.mark.fault(22)
@pytest.mark.parametrize(
    "undecodable",
    [
        {"body": b"{", "content_type": "application/json", "content_encoding": "utf-8"},
        {"body": b"a: 1", "content_type": "application/x-yaml", "content_encoding": "utf-8"},
    ],
    ids=["not json", "not accepted"],
)
def test_what_a_mixin_can_not_decode_is_dead_lettered(
    memory: Broker, undecodable: dict[str, Any]
) -> None:
    connection = memory.connection()
    channel = connection.channel()
    name, dead = memory.name(), memory.name("dead")
    Queue(dead, Exchange(dead, "fanout"))(channel).declare()
    queue = Queue(name, queue_arguments={"x-dead-letter-exchange": dead})
    producer = connection.Producer()
    producer.publish(routing_key=name, declare=[queue], **undecodable)
    producer.publish({"good": 1}, routing_key=name)
    worker = Worker(connection, queue)
    while not worker.handled:
        list(worker.consume(limit=1, timeout=5))
    assert worker.handled == [{"good": 1}]
    assert len(take(channel, dead, 1, limit=1)) == 1
