"""The interface of Carrot, on the in-memory transport."""

from __future__ import annotations

from uuid import uuid4

import pytest

from kombu import Connection, Exchange, Queue
from kombu.compat import Consumer, ConsumerSet, Publisher, entry_to_queue


@pytest.fixture
def connection():
    with Connection("memory://") as connection:
        yield connection


@pytest.fixture
def name():
    return f"compat-{uuid4()}"


@pytest.fixture
def pair(connection, name):
    with (
        Consumer(connection, queue=name, exchange=name, routing_key="k") as consumer,
        Publisher(connection, exchange=name, routing_key="k") as publisher,
    ):
        yield publisher, consumer


class TestPublisher:
    def test_options_and_class_attributes(self, connection, name):
        class News(Publisher):
            exchange = name
            routing_key = "news"
            exchange_type = "fanout"
            durable = False

        publisher = News(connection)
        assert publisher.exchange == Exchange(name, "fanout", durable=False)
        assert publisher.routing_key == "news"
        topic = Publisher(connection, Exchange(name, "topic"), auto_delete=True)
        assert topic.exchange == Exchange(name, "topic")

    def test_closes_only_a_channel_of_its_own(self, connection):
        given = connection.channel()
        own = Publisher(connection)
        channel = own.backend
        own.close()
        Publisher(connection, channel=given).close()
        Queue(f"q-{uuid4()}", channel=given).declare()
        with pytest.raises(connection.channel_errors + connection.connection_errors):
            Queue(f"q-{uuid4()}", channel=channel).declare()


class TestConsumer:
    def test_options(self, connection, name):
        consumer = Consumer(
            connection, name, name, "k", "topic", durable=False, exclusive=True, no_ack=True
        )
        (queue,) = consumer.queues
        assert queue == Queue(
            name, Exchange(name, "topic", durable=False), "k", durable=False, exclusive=True
        )
        assert consumer.no_ack is True

    def test_fetch(self, pair):
        publisher, consumer = pair
        got = []
        consumer.register_callback(lambda body, message: got.append(body))
        publisher.send({"a": 1})
        publisher.send({"a": 2})
        assert consumer.fetch(no_ack=True).payload == {"a": 1}
        assert consumer.fetch(no_ack=True, enable_callbacks=True)
        assert got == [{"a": 2}]
        assert consumer.fetch() is None

    def test_iterqueue_takes_no_more_than_asked(self, pair):
        publisher, consumer = pair
        for body in range(3):
            publisher.send(body)
        assert [message.payload for message in consumer.iterqueue(limit=2)] == [0, 1]
        assert [message.payload for message in consumer.iterqueue()] == [2]
        assert next(iter(consumer)) is None

    def test_iterconsume_and_wait(self, pair):
        publisher, consumer = pair
        got = []
        consumer.register_callback(lambda body, message: got.append(body))
        for body in range(3):
            publisher.send(body)
        consumer.wait(limit=1)
        for _ in consumer.iterconsume(limit=9, no_ack=True):
            if len(got) == 3:
                break
        assert got == [0, 1, 2]

    def test_discard_all(self, pair):
        publisher, consumer = pair
        for body in range(3):
            publisher.send(body)
        assert consumer.discard_all() == 3
        with pytest.raises(NotImplementedError, match="filter"):
            consumer.discard_all(filterfunc=bool)
        with pytest.raises(NotImplementedError, match="fetch"):
            consumer.process_next()

    def test_revive(self, connection, pair):
        _, consumer = pair
        channel = connection.channel()
        consumer.revive(channel)
        assert consumer.backend is consumer.queues[0].channel is channel


class TestConsumerSet:
    def test_of_dicts_and_of_consumers(self, connection, name):
        single = Consumer(connection, queue=f"{name}-1", exchange=name)
        consumers = ConsumerSet(
            connection,
            from_dict={f"{name}-2": {"exchange": name, "routing_key": "k"}},
            consumers=[single],
        )
        consumers.add_consumer_from_dict(f"{name}-3", exchange=name)
        consumers.add_consumer(Consumer(connection, queue=f"{name}-4", exchange=name))
        assert [queue.name for queue in consumers.queues] == [f"{name}-{i}" for i in (1, 2, 3, 4)]
        got = []
        consumers.register_callback(lambda body, message: got.append(body))
        Publisher(connection, exchange=name).send("text", routing_key="k")
        next(consumers.iterconsume(limit=1, no_ack=True))
        assert got == ["text"]
        assert consumers.discard_all() == 0
        consumers.close()

    def test_entry(self):
        assert entry_to_queue("q", exchange="e", binding_key="b") == Queue("q", "e", "b")
