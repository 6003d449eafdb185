"""Loops of consuming, on the in-memory transport."""

from __future__ import annotations

from uuid import uuid4

import pytest

from kombu import Connection, Exchange, Queue
from kombu.common import (
    collect_replies,
    drain_consumer,
    eventloop,
    ignore_errors,
    insured,
    itermessages,
    send_reply,
)


@pytest.fixture
def connection():
    with Connection("memory://") as connection:
        yield connection


@pytest.fixture
def queue(connection):
    queue = Queue(f"q-{uuid4()}", Exchange(f"x-{uuid4()}"), "k", auto_delete=False)
    queue(connection.default_channel).declare()
    return queue


def publish(connection, queue, *bodies):
    producer = connection.Producer(exchange=queue.exchange, routing_key="k")
    for body in bodies:
        producer.publish(body)


class TestEventloop:
    def test_limit_counts_quiet_waits_too(self, connection, queue):
        assert list(eventloop(connection, limit=2, timeout=0.01, ignore_timeouts=True)) == []

    def test_timeout(self, connection, queue):
        with pytest.raises(TimeoutError):
            list(eventloop(connection, limit=1, timeout=0.01))


class TestMessages:
    def test_as_many_as_asked(self, connection, queue):
        publish(connection, queue, 1, 2, 3)
        seen = []
        got = [
            body
            for body, _ in itermessages(
                connection,
                connection.channel(),
                queue,
                limit=2,
                timeout=5,
                callbacks=[lambda body, message: seen.append(body)],
            )
        ]
        assert got == seen == [1, 2]

    def test_consumer_is_cancelled_at_the_end(self, connection, queue):
        publish(connection, queue, 1)
        consumer = connection.Consumer(queue, no_ack=True)
        for body, message in drain_consumer(consumer, limit=None, timeout=5):
            assert (body, message.payload) == (1, 1)
            assert consumer.consuming_from(queue)
            break
        assert not consumer.consuming_from(queue)

    def test_replies(self, connection, queue):
        publish(connection, queue, {"r": 1})
        channel = connection.channel()
        received = []
        channel.after_reply_message_received = received.append
        replies = collect_replies(connection, channel, queue, limit=1, timeout=5)
        assert list(replies) == [{"r": 1}]
        assert received == [queue.name]

    def test_replies_acknowledged_one_by_one(self, connection, queue):
        publish(connection, queue, 1)
        replies = collect_replies(
            connection, connection.channel(), queue, limit=1, timeout=5, no_ack=False
        )
        assert list(replies) == [1]

    def test_no_reply(self, connection, queue):
        channel = connection.channel()
        received = []
        channel.after_reply_message_received = received.append
        assert list(collect_replies(connection, channel, queue, timeout=0.01)) == []
        assert received == []


class TestReply:
    def test_in_the_serialization_of_the_request(self, connection, queue):
        producer = connection.Producer()
        requests = Queue(f"q-{uuid4()}", queue.exchange, "requests")
        producer.publish(
            {"ask": 1},
            "requests",
            exchange=queue.exchange,
            declare=[requests],
            serializer="yaml",
            reply_to="k",
            correlation_id="c",
        )
        request = requests(connection.channel()).get(no_ack=True)
        send_reply(queue.exchange, request, {"answer": 2}, producer)
        reply = queue(connection.channel()).get(no_ack=True, accept=["yaml"])
        assert reply.payload == {"answer": 2}
        assert reply.content_type == request.content_type
        assert reply.properties["correlation_id"] == "c"


class TestInsurance:
    def test_ignored_and_not_ignored(self, connection):
        lost = connection.connection_errors[0]

        def fail(error):
            raise error

        assert ignore_errors(connection, fail, lost("x")) is None
        assert ignore_errors(connection, max, 1, 2) == 2
        with ignore_errors(connection):
            fail(connection.channel_errors[0]("x"))
        with pytest.raises(ZeroDivisionError), ignore_errors(connection):
            fail(ZeroDivisionError())

    def test_called_again_with_a_living_channel(self, connection):
        lost = connection.recoverable_connection_errors[0]
        channels, revived, heard = [], [], []

        def work(number, channel, connection, word):
            channels.append(channel)
            if len(channels) == 1:
                raise lost("x")
            return number, word, channel.connection is not None

        pool = connection.Pool(limit=1)
        result = insured(
            pool,
            work,
            (1,),
            {"word": "w"},
            errback=lambda exc, interval: heard.append(exc),
            on_revive=revived.append,
        )
        assert result == (1, "w", True)
        assert channels[0] is not channels[1]
        assert revived == [channels[1]]
        assert len(heard) == 1


def test_collecting_replies_leaves_the_queue_and_what_was_not_asked_for() -> None:
    with Connection("memory://") as connection:
        channel = connection.default_channel
        queue = Queue("replies")
        queue(channel).declare()
        for number in range(3):
            connection.Producer().publish(number, routing_key="replies")
        assert list(collect_replies(connection, channel, queue, limit=2, timeout=1)) == [0, 1]
        assert queue(channel).get(no_ack=True).payload == 2
