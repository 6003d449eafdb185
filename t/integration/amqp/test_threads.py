"""Threads that share a connection, each with a channel of its own."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import pytest
from amqp.exceptions import RecoverableConnectionError

from kombu.exceptions import BatchPublishError
from t.integration.amqp.conftest import eventually, within

pytestmark = pytest.mark.server("rabbitmq")

COUNT = 300


@pytest.mark.parametrize("batches", [False, True])
def test_confirms_reach_the_thread_that_waits_for_them(connect, queue_of, batches):
    """Whichever thread reads them; a consumer that waits for messages may."""
    queue = queue_of()
    connection = connect(transport_options={"confirm_publish": True})
    link = connection.connection
    consuming = connection.channel()
    channels = [connection.channel() for _ in range(3)]
    received, failures, done = [], [], threading.Event()

    def take(message):
        consuming.basic_ack(message.delivery_tag)
        received.append(message.body)

    consuming.basic_qos(0, 50, False)
    consuming.basic_consume(queue, callback=take)

    def drain():
        while not done.is_set():
            with suppress(TimeoutError):
                link.drain_events(timeout=0.2)

    def publish(channel):
        try:
            producer = connection.Producer(channel)
            for number in range(0, COUNT, 10):
                if batches:
                    with producer.batch():
                        for each in range(number, number + 10):
                            producer.publish(each, routing_key=queue)
                else:
                    for each in range(number, number + 10):
                        producer.publish(each, routing_key=queue)
        except (BatchPublishError, OSError, RecoverableConnectionError) as exc:
            failures.append(exc)

    reader = threading.Thread(target=drain, daemon=True)
    threads = [threading.Thread(target=publish, args=(each,), daemon=True) for each in channels]
    for thread in (reader, *threads):
        thread.start()
    with within(30):
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
    assert failures == []
    eventually(lambda: len(received) == 3 * COUNT, "all are received")
    done.set()
    reader.join(10)
    assert not reader.is_alive()


def test_an_answer_reaches_the_thread_that_asked(connect, queue_of):
    queue = queue_of()
    connection = connect()
    link, channel = connection.connection, connection.channel()

    def drain():
        with pytest.raises(TimeoutError):
            while True:
                link.drain_events(timeout=2.5)

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    with within(2):
        for _ in range(50):
            assert channel.queue_declare(queue, passive=True).queue == queue
    reader.join(10)
    assert not reader.is_alive()


def test_waiting_behind_another_thread_ends_in_time(connect, proxy, queue_of):
    queue = queue_of()
    connection = connect(proxy.url, transport_options={"operation_timeout": 0.5})
    link, channel = connection.connection, connection.channel()
    ended = threading.Event()

    def drain():
        try:
            link.drain_events(timeout=20)
        except (OSError, RecoverableConnectionError):
            ended.set()

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    proxy.set(freeze=True)
    started = time.monotonic()
    with pytest.raises(RecoverableConnectionError, match="no answer"):
        channel.queue_declare(queue, passive=True)
    assert time.monotonic() - started < 3
    # The connection is taken to be lost, for whoever else waits on it.
    assert ended.wait(5)
