"""After the connection is lost: a consumer goes on where it was."""

from __future__ import annotations

import os
import threading
import time

import pytest

from kombu import Queue
from kombu.asynchronous import Hub
from kombu.mixins import ConsumerMixin
from kombu.transport.base import Publish
from t.integration.amqp.conftest import within

pytestmark = pytest.mark.server("rabbitmq")


class Worker(ConsumerMixin):
    """Consumes in a thread of its own."""

    def __init__(self, connection, queue):
        self.connection = connection
        self.queue = queue
        self.bodies = []
        self.ready = threading.Semaphore(0)
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.run)

    def get_consumers(self, Consumer, channel):
        return [Consumer([self.queue], callbacks=[self.handle], prefetch_count=10)]

    def on_consume_ready(self, connection, channel, consumers, **kwargs):
        self.ready.release()

    def handle(self, body, message):
        message.ack()
        with self.changed:
            self.bodies.append(body)
            self.changed.notify_all()

    def wait_for(self, body, seconds=30):
        with self.changed:
            assert self.changed.wait_for(lambda: body in self.bodies, seconds), self.bodies

    def __enter__(self):
        self.thread.start()
        assert self.ready.acquire(timeout=20)
        return self

    def __exit__(self, *exc_info):
        self.should_stop = True
        self.thread.join(20)
        assert not self.thread.is_alive()


def test_consumer_resumes_after_a_restart_of_the_broker(connect, broker, name):
    queue = Queue(name, durable=True)
    with Worker(connect(broker.url), queue) as worker:
        connect(broker.url).Producer().publish(1, routing_key=name, retry=True)
        worker.wait_for(1)
        broker.restart()
        assert worker.ready.acquire(timeout=40)
        connect(broker.url).Producer().publish(2, routing_key=name, retry=True)
        worker.wait_for(2)


def test_consumer_resumes_on_a_half_open_link_within_three_heartbeats(connect, proxy, url, name):
    queue = Queue(name, durable=True, auto_delete=True)
    publisher = connect().Producer()
    consuming = connect(f"{proxy.url};{url}", heartbeat=2, connect_timeout=0.5)
    with Worker(consuming, queue) as worker:
        publisher.publish(1, routing_key=name)
        worker.wait_for(1)
        proxy.set(blackhole=True)
        with within(3 * 2 + 1):
            assert worker.ready.acquire(timeout=20)
        publisher.publish(2, routing_key=name)
        worker.wait_for(2)


def test_a_deleted_queue_is_declared_and_consumed_again(connect, name):
    queue = Queue(name, durable=True)
    admin = connect()
    with Worker(connect(), queue) as worker:
        admin.default_channel.queue_delete(name)
        assert worker.ready.acquire(timeout=20)
        admin.Producer().publish(1, routing_key=name)
        worker.wait_for(1)
    admin.default_channel.queue_delete(name)


def test_the_prefetch_limit_holds_after_a_cut(connect, proxy, queue_of):
    name = queue_of()
    with connect().Producer() as producer, producer.batch():
        for number in range(40):
            producer.publish(number, routing_key=name)

    class Holder(Worker):
        def handle(self, body, message):
            with self.changed:
                self.bodies.append(body)
                self.changed.notify_all()

    admin = connect().default_channel
    queue = Queue(name, no_declare=True)
    with Holder(connect(proxy.url), queue) as worker:
        worker.wait_for(9)
        proxy.reset()
        assert worker.ready.acquire(timeout=20)
        with worker.changed:
            assert worker.changed.wait_for(lambda: len(worker.bodies) == 20, 10)
        # Ten are held; what was given to the lost connection is back among the others.
        assert admin.queue_declare(name, passive=True).message_count == 30
        assert worker.bodies == [*range(10)] * 2


def test_autoretry_gives_a_new_channel_after_a_cut(connect, proxy, queue_of):
    queue = queue_of()
    connection = connect(proxy.url)
    channels = []

    def declare(channel):
        channels.append(channel)
        return channel.queue_declare(queue, passive=True).queue

    again = connection.autoretry(declare, connection.default_channel, max_retries=3)
    assert again() == (queue, channels[-1])
    proxy.reset()
    assert again() == (queue, channels[-1])
    assert channels[0] is not channels[-1]


def test_producer_with_retry_goes_on_after_a_cut(connect, proxy, queue_of):
    queue = queue_of()
    connection = connect(proxy.url, transport_options={"confirm_publish": True})
    producer = connection.Producer()
    for number in range(5):
        producer.publish(number, routing_key=queue, retry=True, timeout=10)
        proxy.reset()
    declared = connect().default_channel.queue_declare(queue, passive=True)
    assert declared.message_count >= 5


def test_a_child_process_leaves_the_parents_connection_alone(connect, queue_of):
    queue = queue_of()
    connection = connect()
    producer = connection.Producer()
    producer.publish("parent", routing_key=queue)
    pid = os.fork()
    if not pid:
        try:
            connection.Producer().publish("child", routing_key=queue)
            connection.release()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    producer.publish("parent", routing_key=queue)
    channel = connection.default_channel
    deadline = time.monotonic() + 10
    while channel.queue_declare(queue, passive=True).message_count < 3:
        assert time.monotonic() < deadline, "not all three messages arrived"


class TestEventLoop:
    @pytest.fixture
    def hub(self):
        hub = Hub()
        yield hub
        hub.close()

    @staticmethod
    def run_until(hub, condition, seconds=10):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "timed out"
            hub.run_once()

    def test_deliveries_are_handled(self, hub, connect, queue_of):
        queue = queue_of()
        connection = connect()
        channel = connection.default_channel
        received = []

        def take(message):
            received.append(message.body)
            channel.basic_ack(message.delivery_info["delivery_tag"])

        connection.register_with_event_loop(hub)
        channel.basic_qos(0, 50, False)
        channel.basic_consume(queue, callback=take)
        producer = connect().Producer()
        for number in range(500):
            producer.publish(str(number), routing_key=queue)
        self.run_until(hub, lambda: len(received) == 500)
        assert received == [str(number) for number in range(500)]

    def test_what_another_read_took_along_is_handled(self, hub, connect, queue_of):
        """A publish or declare between two turns of the loop receives more than it handles."""
        queue = queue_of()
        connection = connect()
        channel = connection.default_channel
        received = []
        connection.register_with_event_loop(hub)
        channel.basic_consume(queue, callback=received.append, no_ack=True)
        with connect().Producer() as producer:
            producer.channel.basic_publish_many(
                [_publish(producer.channel, queue, str(number)) for number in range(20)]
            )
            # They are all on their way before the first is looked at.
            admin = connect().default_channel
            deadline = time.monotonic() + 5
            while admin.queue_declare(queue, passive=True).message_count:
                assert time.monotonic() < deadline
        connection.drain_events(timeout=5)
        assert len(received) < 20
        with within(5):
            self.run_until(hub, lambda: len(received) == 20)

    def test_a_lost_connection_raises_out_of_the_loop(self, hub, connect, proxy, queue_of):
        queue = queue_of()
        connection = connect(proxy.url)
        connection.register_with_event_loop(hub)
        connection.default_channel.basic_consume(queue, callback=print)
        proxy.reset()
        with pytest.raises(connection.recoverable_connection_errors):
            self.run_until(hub, lambda: False)


def _publish(channel, queue, body):
    return Publish(channel.prepare_message(body, content_encoding="utf-8"), "", queue, {})
