"""Publisher confirms: one by one and in batches."""

from __future__ import annotations

import threading
import time

import pytest
from amqp.exceptions import MessageNacked, NotFound, RecoverableConnectionError

from kombu import Exchange
from kombu.exceptions import BatchPublishError
from kombu.transport.base import Publish
from t.integration.amqp.conftest import receive, within

pytestmark = pytest.mark.server("rabbitmq")

FULL = {"x-max-length": 1, "x-overflow": "reject-publish"}


@pytest.fixture
def confirmed(connect):
    return connect(transport_options={"confirm_publish": True})


def publishes(channel, queue, bodies, **options):
    return [
        Publish(channel.prepare_message(body, content_encoding="utf-8"), "", queue, dict(options))
        for body in bodies
    ]


def test_publish_returns_once_the_message_is_there(confirmed, queue_of):
    queue = queue_of()
    producer = confirmed.Producer()
    for number in range(5):
        producer.publish({"n": number}, routing_key=queue)
        declared = confirmed.default_channel.queue_declare(queue, passive=True)
        assert declared.message_count == number + 1


def test_a_refused_message_raises(confirmed, queue_of):
    queue = queue_of(arguments=FULL)
    producer = confirmed.Producer()
    producer.publish(1, routing_key=queue)
    with pytest.raises(MessageNacked):
        producer.publish(2, routing_key=queue)
    # and the channel goes on
    confirmed.default_channel.queue_purge(queue)
    producer.publish(3, routing_key=queue)


def test_a_returned_message_reaches_on_return_before_the_confirm(confirmed, name):
    returned = []
    producer = confirmed.Producer(on_return=lambda *args: returned.append(args))
    producer.publish("lost", routing_key=name, mandatory=True)
    [(exc, exchange, routing_key, message)] = returned
    assert (exc.reply_code, exchange, routing_key) == (312, "", name)
    assert message.body == "lost"


def test_a_returned_message_nobody_asks_for_raises(confirmed, name):
    with pytest.raises(Exception, match="NO_ROUTE"):
        confirmed.Producer().publish("lost", routing_key=name, mandatory=True)


def test_a_missing_exchange_raises_and_the_next_publish_works(confirmed, queue_of, name):
    queue = queue_of()
    producer = confirmed.Producer()
    with pytest.raises(NotFound):
        producer.publish(1, exchange=Exchange(f"{name}-none"), routing_key="k")
    producer.publish(2, routing_key=queue)
    assert confirmed.connected


@pytest.mark.parametrize("confirm_publish", [False, True])
class TestBatches:
    @pytest.fixture
    def channel(self, connect, confirm_publish):
        connection = connect(transport_options={"confirm_publish": confirm_publish})
        return connection.default_channel

    def test_all_arrive_in_order(self, channel, connection, queue_of):
        queue = queue_of()
        bodies = [str(number) for number in range(500)]
        channel.basic_publish_many(publishes(channel, queue, bodies))
        reader = connection.default_channel
        assert reader.queue_declare(queue, passive=True).message_count == 500
        received = receive(connection, reader, queue, 500)
        assert [message.body for message in received] == bodies

    def test_exactly_the_refused_ones_are_named(self, channel, queue_of):
        open_queue, full_queue = queue_of("-open"), queue_of("-full", arguments=FULL)
        batch = publishes(channel, open_queue, "ab") + publishes(channel, full_queue, "cd")
        batch += publishes(channel, open_queue, "e") + publishes(channel, full_queue, "f")
        with pytest.raises(BatchPublishError) as caught:
            channel.basic_publish_many(batch)
        assert sorted(caught.value.failed) == [3, 5]
        assert {type(exc) for exc in caught.value.failed.values()} == {MessageNacked}
        channel.basic_publish_many(publishes(channel, open_queue, "g"))

    def test_what_cannot_be_sent_is_named_and_the_others_go_out(
        self, channel, connection, queue_of
    ):
        queue = queue_of()
        batch = publishes(channel, queue, "abc")
        batch[1].message.properties["correlation_id"] = "x" * 300
        with pytest.raises(BatchPublishError) as caught:
            channel.basic_publish_many(batch)
        assert sorted(caught.value.failed) == [1]
        assert "correlation_id" in str(caught.value.failed[1])
        received = receive(connection, connection.default_channel, queue, 2)
        assert [message.body for message in received] == ["a", "c"]

    def test_a_missing_exchange_fails_what_was_not_confirmed(self, channel, queue_of, name):
        queue = queue_of()
        missing = channel.prepare_message("x", content_encoding="utf-8")
        batch = publishes(channel, queue, "a")
        batch.append(Publish(missing, f"{name}-none", "k", {}))
        batch += publishes(channel, queue, "b")
        with pytest.raises(BatchPublishError) as caught:
            channel.basic_publish_many(batch)
        assert {1, 2} <= caught.value.failed.keys()
        assert isinstance(caught.value.failed[1], NotFound)
        channel.basic_publish_many(publishes(channel, queue, "c"))

    def test_returned_messages_reach_the_handler(self, channel, queue_of, name):
        queue = queue_of()
        returned = []
        channel.events["basic_return"].add(lambda *args: returned.append(args[2]))
        batch = publishes(channel, queue, "a")
        batch += publishes(channel, f"{name}-none", "b", mandatory=True)
        channel.basic_publish_many(batch)
        assert returned == [f"{name}-none"]

    def test_no_confirm_in_time(self, connect, proxy, confirm_publish, queue_of):
        queue = queue_of()
        options = {"confirm_publish": confirm_publish}
        connection = connect(proxy.url, transport_options=options)
        channel = connection.default_channel
        channel.basic_publish_many(publishes(channel, queue, "a"))
        proxy.set(blackhole=True, direction="down")
        with within(3), pytest.raises(BatchPublishError) as caught:
            channel.basic_publish_many(publishes(channel, queue, "bcd"), timeout=0.5)
        assert sorted(caught.value.failed) == [0, 1, 2]


def test_a_late_confirm_is_not_taken_for_the_next_publish(connect, proxy, queue_of):
    queue = queue_of(arguments=FULL)
    connection = connect(proxy.url, transport_options={"confirm_publish": True})
    channel = connection.default_channel
    channel.queue_declare(queue, passive=True)
    message = channel.prepare_message("a", content_encoding="utf-8")
    channel.basic_publish(message, routing_key=queue)
    proxy.set(freeze=True, direction="down")
    with pytest.raises(TimeoutError):
        channel.basic_publish(message, routing_key=queue, confirm_timeout=0.3)
    proxy.heal()
    channel.connection.client.Producer().publish("x", routing_key=queue + "-nowhere")
    with pytest.raises(MessageNacked):
        channel.basic_publish(message, routing_key=queue)


def test_a_publish_that_was_not_sent_is_not_waited_for_by_the_next(confirmed, queue_of):
    queue = queue_of()
    channel = confirmed.default_channel
    message = channel.prepare_message("a", content_encoding="utf-8")
    channel.basic_publish(message, routing_key=queue)
    holds, release = threading.Event(), threading.Event()

    def write():
        with channel.connection.transport.write_lock:
            holds.set()
            release.wait(10)

    writer = threading.Thread(target=write)
    writer.start()
    holds.wait(5)
    with within(3), pytest.raises(RecoverableConnectionError, match="timed out"):
        channel.basic_publish(message, routing_key=queue, timeout=0.2)
    with within(3), pytest.raises(BatchPublishError) as caught:
        channel.basic_publish_many(publishes(channel, queue, "bc"), timeout=0.2)
    assert sorted(caught.value.failed) == [0, 1]
    release.set()
    writer.join(5)
    channel.basic_publish(message, routing_key=queue, timeout=5)
    channel.basic_publish_many(publishes(channel, queue, "bc"), timeout=5)
    assert channel.queue_declare(queue, passive=True).message_count == 4


def test_a_batch_is_much_quicker_than_one_by_one(confirmed, queue_of):
    queue = queue_of()
    producer = confirmed.Producer()

    def rate(count, send):
        started = time.perf_counter()
        send(count)
        return count / (time.perf_counter() - started)

    def one_by_one(count):
        for _ in range(count):
            producer.publish("x", routing_key=queue)

    def together(count):
        with producer.batch(max_size=count):
            for _ in range(count):
                producer.publish("x", routing_key=queue)

    one_by_one(10)
    together(10)
    assert rate(2000, together) > 2 * rate(200, one_by_one)


def test_large_bodies_are_split_into_frames(connection, queue_of):
    queue = queue_of()
    channel = connection.default_channel
    body = bytes(range(256)) * 4096
    message = channel.prepare_message(body, content_encoding="binary")
    channel.basic_publish_many([Publish(message, "", queue, {})] * 2)
    channel.basic_publish(message, routing_key=queue)
    received = receive(connection, channel, queue, 3)
    assert all(message.body == body for message in received)


def test_publishing_on_a_closed_connection(connection):
    channel = connection.channel()
    connection.release()
    with pytest.raises(RecoverableConnectionError):
        channel.basic_publish(channel.prepare_message("x"), routing_key="q")
