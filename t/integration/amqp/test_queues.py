"""Queue types and arguments pass through."""

from __future__ import annotations

import time

import pytest

from kombu import Consumer, Exchange, Queue
from t.integration.amqp.conftest import receive

pytestmark = pytest.mark.server("rabbitmq")


def publish(channel, queue, *bodies, priority=None):
    for body in bodies:
        message = channel.prepare_message(body, priority, content_encoding="utf-8")
        channel.basic_publish(message, routing_key=queue)


def take(connection, queue, count, **arguments):
    """Messages of a queue, not acknowledged, on a channel of their own."""
    channel = connection.channel()
    received = []
    channel.basic_consume(queue, callback=received.append, **arguments)
    while len(received) < count:
        connection.drain_events(timeout=10)
    return channel, received


def test_quorum_queue_with_prefetch_changes_and_delivery_limit(connection, queue_of):
    dead = queue_of("-dead")
    queue = queue_of(
        arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": 1,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead,
        }
    )
    channel = connection.channel()
    channel.basic_qos(0, 1, False)
    channel.basic_qos(0, 10, False)
    publish(channel, queue, "a")
    seen = []

    def requeue(message):
        seen.append(message.properties.get("application_headers", {}).get("x-delivery-count"))
        channel.basic_reject(message.delivery_info["delivery_tag"], requeue=True)

    channel.basic_consume(queue, callback=requeue)
    while len(seen) < 2:
        connection.drain_events(timeout=10)
    [message] = receive(connection, connection.channel(), dead, 1)
    assert message.headers["x-death"][0]["reason"] == "delivery_limit"


def test_a_limit_for_a_whole_channel_is_refused_on_quorum_queues(connection, queue_of):
    queue = queue_of(arguments={"x-queue-type": "quorum"})
    consumer = Consumer(connection.channel(), [Queue(queue, no_declare=True)])
    consumer.qos(prefetch_count=5, apply_global=True)
    with pytest.raises(connection.connection_errors, match=r"540.*global"):
        consumer.consume()


def test_single_active_consumer_and_failover(connection, queue_of):
    queue = queue_of(arguments={"x-single-active-consumer": True})
    first, second = connection.channel(), connection.channel()
    got = []
    first.basic_consume(queue, callback=lambda m: got.append(("first", m.body)), no_ack=True)
    second.basic_consume(queue, callback=lambda m: got.append(("second", m.body)), no_ack=True)
    publish(connection.default_channel, queue, "a", "b")
    while len(got) < 2:
        connection.drain_events(timeout=10)
    first.close()
    publish(connection.default_channel, queue, "c")
    while len(got) < 3:
        connection.drain_events(timeout=10)
    assert got == [("first", "a"), ("first", "b"), ("second", "c")]


def test_consumer_priority(connection, name):
    queue = Queue(name, exclusive=True, consumer_arguments={"x-priority": 10})
    low, high = connection.channel(), connection.channel()
    got = []
    plain = Queue(name, exclusive=True)
    Consumer(low, [plain], on_message=lambda m: got.append("low"), no_ack=True).consume()
    Consumer(high, [queue], on_message=lambda m: got.append("high"), no_ack=True).consume()
    publish(connection.default_channel, name, "a", "b")
    while len(got) < 2:
        connection.drain_events(timeout=10)
    assert got == ["high", "high"]


def test_message_priority(connection, queue_of):
    queue = queue_of(arguments={"x-max-priority": 10})
    channel = connection.channel()
    for priority in (0, 9, 5):
        publish(channel, queue, str(priority), priority=priority)
    deadline = time.monotonic() + 5
    while channel.queue_declare(queue, passive=True).message_count < 3:
        assert time.monotonic() < deadline
    received = receive(connection, channel, queue, 3)
    assert [message.body for message in received] == ["9", "5", "0"]


def test_stream_is_read_again_from_an_offset(connection, queue_of):
    queue = queue_of(arguments={"x-queue-type": "stream"})
    publish(connection.default_channel, queue, "a", "b", "c")
    for offset, expected in (("first", ["a", "b", "c"]), (1, ["b", "c"])):
        channel = connection.channel()
        channel.basic_qos(0, 10, False)
        received = []
        channel.basic_consume(
            queue, callback=received.append, arguments={"x-stream-offset": offset}
        )
        while len(received) < len(expected):
            connection.drain_events(timeout=10)
        assert [message.body for message in received] == expected
        channel.close()


def test_time_to_live_and_dead_letter(connection, queue_of):
    dead = queue_of("-dead")
    queue = queue_of(
        arguments={
            "x-message-ttl": 50,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead,
        }
    )
    publish(connection.default_channel, queue, "a")
    [message] = receive(connection, connection.channel(), dead, 1)
    assert message.headers["x-death"][0]["reason"] == "expired"
    assert message.headers["x-death"][0]["queue"] == queue


def test_unacknowledged_messages_come_back_when_the_channel_closes(connection, queue_of):
    queue = queue_of()
    publish(connection.default_channel, queue, "a", "b", "c")
    channel, _ = take(connection, queue, 3)
    channel.close()
    received = receive(connection, connection.channel(), queue, 3)
    assert [message.body for message in received] == ["a", "b", "c"]
    assert {message.delivery_info["redelivered"] for message in received} == {True}


def test_multiple_ack_and_get(connection, queue_of):
    queue = queue_of()
    channel = connection.channel()
    publish(channel, queue, "a", "b", "c")
    got = []
    while len(got) < 3:
        message = channel.basic_get(queue)
        if message is not None:
            got.append(message)
    channel.basic_ack(got[1].delivery_info["delivery_tag"], multiple=True)
    channel.close()
    channel = connection.channel()
    assert channel.queue_declare(queue, passive=True).message_count == 1
    assert channel.basic_get(queue, no_ack=True).body == "c"
    assert channel.basic_get(queue) is None


def test_options_become_arguments(connection, name):
    """RabbitMQ compares the arguments when a queue is declared again."""
    options = {"expires": 60, "message_ttl": 5.5, "max_length": 3, "max_priority": 5}
    Queue(name, **options)(connection.default_channel).declare()
    connection.channel().queue_declare(
        name,
        durable=True,
        auto_delete=False,
        arguments={
            "x-expires": 60000,
            "x-message-ttl": 5500,
            "x-max-length": 3,
            "x-max-priority": 5,
        },
    )
    connection.default_channel.queue_delete(name)


def test_headers_come_back_as_they_were(connection, queue_of):
    queue = queue_of()
    headers = {
        "text": "grün",
        "number": -5,
        "large": 2**40,
        "float": 1.5,
        "yes": True,
        "none": None,
        "list": [1, "a", {"x": None}],
        "table": {"deep": {"er": False}},
    }
    exchange = Exchange("")
    connection.Producer(exchange=exchange).publish("x", routing_key=queue, headers=headers)
    [message] = receive(connection, connection.default_channel, queue, 1)
    assert message.headers == headers
