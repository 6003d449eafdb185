"""Known fault 22: ConsumerMixin acknowledged what it can't decode, and so dropped it in silence."""

from __future__ import annotations

from uuid import uuid4

import pytest

from kombu import Connection, Exchange, Queue
from kombu.mixins import ConsumerMixin


class Worker(ConsumerMixin):
    def __init__(self, connection, queue):
        self.connection = connection
        self.queue = queue
        self.handled = []

    def get_consumers(self, Consumer, channel):
        return [Consumer([self.queue], callbacks=[self.handle], accept=["json"])]

    def handle(self, body, message):
        self.handled.append(body)
        message.ack()


@pytest.fixture
def names():
    return f"q-{uuid4()}", f"dead-{uuid4()}"


@pytest.mark.parametrize(("ack_undecodable", "dead_lettered"), [(False, True), (True, False)])
@pytest.mark.parametrize(
    "undecodable",
    [
        {"body": b"{", "content_type": "application/json", "content_encoding": "utf-8"},
        {"body": {"a": 1}, "serializer": "yaml"},
        {
            "body": b"{}",
            "content_type": "application/json",
            "headers": {"compression": "application/x-gzip"},
        },
    ],
    ids=["not json", "not accepted", "not compressed"],
)
def test_goes_to_the_dead_letter_exchange(
    names, caplog, undecodable, ack_undecodable, dead_lettered
):
    name, dead = names
    with Connection("memory://") as connection:
        channel = connection.channel()
        dead_letters = Queue(dead, Exchange(dead, "fanout"), channel=channel)
        dead_letters.declare()
        queue = Queue(name, queue_arguments={"x-dead-letter-exchange": dead})
        producer = connection.Producer()
        producer.publish(routing_key=name, declare=[queue], message_id="id-1", **undecodable)
        producer.publish({"good": 1}, routing_key=name)

        worker = Worker(connection, queue)
        worker.ack_undecodable = ack_undecodable
        while not worker.handled:
            list(worker.consume(limit=1))

        assert worker.handled == [{"good": 1}]
        assert "id-1" in caplog.text
        assert queue(channel).get() is None
        letters = dead_letters.queue_declare(passive=True).message_count
        assert letters == (1 if dead_lettered else 0)


def test_without_dead_letter_exchange_it_is_logged(names, caplog):
    name, _ = names
    with Connection("memory://") as connection:
        queue = Queue(name)
        producer = connection.Producer()
        producer.publish(
            b"{",
            routing_key=name,
            declare=[queue],
            content_type="application/json",
            message_id="id-1",
        )
        list(Worker(connection, queue).consume(limit=1))
        assert queue(connection.channel()).get() is None
        assert "id-1" in caplog.text
        assert "rejected" in caplog.text
