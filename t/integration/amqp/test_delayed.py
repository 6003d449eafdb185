"""Native delayed delivery, end to end."""

from __future__ import annotations

import time

import pytest

from kombu import Exchange, Queue
from kombu.transport.native_delayed_delivery import (
    bind_queue_to_native_delayed_delivery_exchange,
    calculate_routing_key,
    declare_native_delayed_delivery_exchanges_and_queues,
    level_name,
)
from t.integration.amqp.conftest import receive

pytestmark = pytest.mark.server("rabbitmq")


@pytest.fixture
def delayed(connection, name):
    """A queue of a topic exchange that delayed messages reach; names with a prefix."""
    declare_native_delayed_delivery_exchanges_and_queues(connection, "classic", prefix=name)
    queue = Queue(name, Exchange(f"{name}-x", type="topic"), routing_key="dest")
    channel = connection.channel()
    queue(channel).declare()
    bind_queue_to_native_delayed_delivery_exchange(connection, queue, prefix=name)
    yield queue
    channel = connection.channel()
    for level in range(28):
        channel.exchange_delete(level_name(level, name))
        channel.queue_delete(level_name(level, name))
    channel.exchange_delete(f"{name}_celery_delayed_delivery")
    channel.exchange_delete(f"{name}-x")
    channel.queue_delete(name)


def test_a_message_arrives_when_it_is_due(connection, delayed, name):
    started = time.monotonic()
    for seconds in (2, 1):
        connection.Producer().publish(
            seconds,
            exchange=Exchange(level_name(27, name)),
            routing_key=calculate_routing_key(seconds, "dest"),
        )
    first, second = receive(connection, connection.channel(), name, 2)
    assert (first.payload, second.payload) == (1, 2)
    assert 1.9 < time.monotonic() - started < 6


def test_a_retry_that_takes_its_headers_along_is_delayed_again(connection, delayed, name):
    """RabbitMQ drops a message whose x-death says that it went round in a circle.

    Three seconds are two levels: the second finds itself in the x-death of the first delay.
    """
    headers, key = {"id": 1}, "dest"
    channel = connection.channel()
    for _ in range(2):
        key = calculate_routing_key(3, key)
        connection.Producer().publish(
            "again", exchange=Exchange(level_name(27, name)), routing_key=key, headers=headers
        )
        [message] = receive(connection, channel, name, 1)
        headers, key = message.headers, message.delivery_info["routing_key"]
    assert headers["id"] == 1


def test_a_queue_type_that_does_not_exist(connection):
    with pytest.raises(ValueError, match="classic"):
        declare_native_delayed_delivery_exchanges_and_queues(connection, "bogus")
