"""What a consumer's callback does, or raises, is no danger to the messages behind its own."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from amqp.exceptions import NotFound

from kombu import Consumer, Queue
from kombu.asynchronous import Hub
from t.integration.amqp.conftest import eventually, receive, within

pytestmark = pytest.mark.server("rabbitmq")

COUNT = 150


@pytest.fixture
def filled(connection, queue_of):
    """A queue with numbers."""
    queue = queue_of()
    producer = connection.Producer()
    for number in range(COUNT):
        producer.publish(number, routing_key=queue)
    eventually(
        lambda: (
            connection.default_channel.queue_declare(queue, passive=True).message_count == COUNT
        ),
        "all are there",
    )
    return queue


def consume(connection, queue, callback, **options):
    """A consumer that has been sent all there is before the first is handled."""
    options = {"prefetch_count": 2 * COUNT, "auto_declare": False, **options}
    consumer = Consumer(
        connection, [Queue(queue, no_declare=True)], callbacks=[callback], **options
    )
    consumer.consume()
    return consumer


def drain(connection):
    with suppress(TimeoutError):
        while True:
            connection.drain_events(timeout=0.5)


@pytest.mark.parametrize("confirm", [False, True])
def test_publishing_handles_no_message_before_the_one_at_hand_is_done(
    connect, filled, queue_of, confirm
):
    """On the way from one queue to another the order is kept, and the stack stays flat."""
    to = queue_of("-to")
    connection = connect(transport_options={"confirm_publish": confirm})
    producer = connection.Producer()
    depth = deepest = 0

    def forward(body, message):
        nonlocal depth, deepest
        depth += 1
        deepest = max(depth, deepest)
        producer.publish(body, routing_key=to)
        message.ack()
        depth -= 1

    consume(connection, filled, forward)
    drain(connection)
    assert deepest == 1
    assert [
        message.payload for message in receive(connection, connection.channel(), to, COUNT)
    ] == list(range(COUNT))


def test_declaring_handles_no_message_before_the_one_at_hand_is_done(connection, filled):
    seen = []
    depth = deepest = 0

    def look(body, message):
        nonlocal depth, deepest
        depth += 1
        deepest = max(depth, deepest)
        connection.default_channel.queue_declare(filled, passive=True)
        seen.append(body)
        message.ack()
        depth -= 1

    consume(connection, filled, look)
    drain(connection)
    assert deepest == 1
    assert seen == list(range(COUNT))


def test_who_drains_in_a_callback_is_given_messages(connection, filled):
    seen = []

    def wait_for_the_next(body, message):
        message.ack()
        seen.append(body)
        if body == 0:
            connection.default_channel.queue_declare(filled, passive=True)
            while len(seen) < COUNT:
                connection.drain_events(timeout=5)

    consume(connection, filled, wait_for_the_next)
    with within(20):
        connection.drain_events(timeout=5)
    assert seen == list(range(COUNT))


@pytest.mark.parametrize("no_ack", [False, True])
def test_cancelling_in_a_callback_loses_nothing(connection, filled, no_ack):
    seen = []

    def only_one(body, message):
        if not no_ack:
            message.ack()
        if not seen:
            connection.default_channel.queue_declare(filled, passive=True)
            consumer.cancel()
        seen.append(body)

    consumer = consume(connection, filled, only_one, no_ack=no_ack)
    drain(connection)
    channel = connection.channel()
    eventually(
        lambda: channel.queue_declare(filled, passive=True).message_count == COUNT - len(seen),
        "the others are back",
    )
    assert seen == (list(range(COUNT)) if no_ack else [0])


def test_what_arrived_on_a_channel_that_was_closed_is_not_delivered(connection, filled, name):
    """The broker has taken it back: acknowledging it would be an error."""
    seen = []

    def ask_for_what_is_missing(body, message):
        seen.append(body)
        message.ack()
        with pytest.raises(NotFound):
            message.channel.queue_declare(f"{name}-nowhere", passive=True)

    consume(connection, filled, ask_for_what_is_missing)
    drain(connection)
    assert seen == [0]
    channel = connection.channel()
    assert len(receive(connection, channel, filled, COUNT - 1)) == COUNT - 1


def test_the_event_loop_delivers_what_was_behind_a_callback_that_raised(connection, filled):
    hub = Hub()
    seen = []

    def fail_once(body, message):
        seen.append(body)
        message.ack()
        if len(seen) == 1:
            connection.default_channel.queue_declare(filled, passive=True)
            raise RuntimeError("this message is bad")

    connection.register_with_event_loop(hub)
    consume(connection, filled, fail_once)
    raised = 0
    deadline = time.monotonic() + 10
    while len(seen) < COUNT and time.monotonic() < deadline:
        try:
            hub.run_once()
        except RuntimeError:
            raised += 1
    assert raised == 1
    assert seen == list(range(COUNT))
    connection.transport.unregister_from_event_loop(connection.connection, hub)
    hub.close()


def test_a_binary_correlation_id_stops_no_consumer(connection, queue_of):
    queue = queue_of()
    producer = connection.Producer()
    for number, correlation_id in enumerate((b"\xff\xfe", "\ud800", "plain")):
        producer.publish(number, routing_key=queue, correlation_id=correlation_id)
    ids = [
        message.properties["correlation_id"]
        for message in receive(connection, connection.channel(), queue, 3)
    ]
    assert ids == [b"\xff\xfe", "\ud800", "plain"]
