"""Producers and consumers together, on the in-memory transport."""

from __future__ import annotations

import threading
from time import monotonic
from uuid import uuid4

import pytest

from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError
from kombu.transport import memory


@pytest.fixture
def connection():
    with Connection("memory://") as connection:
        yield connection


@pytest.fixture
def queue():
    name = f"q-{uuid4()}"
    return Queue(name, Exchange(f"x-{uuid4()}"), "key")


def drain(connection, got, count):
    while len(got) < count:
        connection.drain_events(timeout=5)


class Refusing(memory.Transport):
    """A broker that is down."""

    def __init__(self, client, **kwargs):
        super().__init__(client, **kwargs)
        self.tries = 0

    def establish_connection(self):
        self.tries += 1
        raise self.recoverable_connection_errors[0]("refused")


class TestDelivery:
    def test_what_is_published_arrives(self, connection, queue):
        got = []
        with (
            connection.Producer() as producer,
            connection.Consumer(queue, callbacks=[lambda *pair: got.append(pair)]),
        ):
            producer.publish(
                {"a": 1}, "key", exchange=queue.exchange, headers={"h": 1}, correlation_id="c"
            )
            drain(connection, got, 1)
        body, message = got[0]
        assert body == {"a": 1}
        assert message.headers == {"h": 1}
        assert message.properties["correlation_id"] == "c"
        message.ack()

    def test_compressed_and_serialized_otherwise(self, connection, queue):
        got = []
        with connection.Consumer(
            queue, callbacks=[lambda body, message: got.append(body)], accept=["yaml"], no_ack=True
        ):
            connection.Producer(serializer="yaml", compression="zlib").publish(
                {"a": [1]}, "key", exchange=queue.exchange
            )
            drain(connection, got, 1)
        assert got == [{"a": [1]}]

    def test_prefetch_limit_holds_until_acknowledged(self, connection, queue):
        got = []
        producer = connection.Producer()
        consumer = connection.Consumer(
            queue, callbacks=[lambda body, message: got.append(message)], prefetch_count=2
        )
        for body in range(3):
            producer.publish(body, "key", exchange=queue.exchange, declare=[queue])
        with consumer:
            drain(connection, got, 2)
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.05)
            got[0].ack()
            drain(connection, got, 3)
        assert [message.payload for message in got] == [0, 1, 2]

    def test_cancel_by_queue_leaves_the_other(self, connection, queue):
        other = Queue(f"q-{uuid4()}", queue.exchange, "other")
        got = []
        consumer = connection.Consumer(
            [queue, other], callbacks=[lambda body, message: got.append(body)], no_ack=True
        )
        with consumer:
            consumer.cancel_by_queue(queue)
            producer = connection.Producer()
            producer.publish("stays", "key", exchange=queue.exchange)
            producer.publish("arrives", "other", exchange=queue.exchange)
            drain(connection, got, 1)
        assert got == ["arrives"]
        assert queue(connection.channel()).get(no_ack=True).payload == "stays"

    def test_unroutable_mandatory_message_comes_back(self, connection, queue):
        returned = []
        producer = connection.Producer(
            exchange=queue.exchange, on_return=lambda *args: returned.append(args)
        )
        producer.publish("text", "nowhere", mandatory=True)
        ((_error, exchange, routing_key, message),) = returned
        assert (exchange, routing_key) == (queue.exchange.name, "nowhere")
        assert message

    def test_batch_arrives_in_order(self, connection, queue):
        producer = connection.Producer(exchange=queue.exchange)
        with producer.batch(max_size=4):
            for body in range(10):
                producer.publish(body, "key", declare=[queue])
        bound = queue(connection.channel())
        assert [bound.get(no_ack=True).payload for _ in range(10)] == list(range(10))

    def test_declared_again_on_the_next_connection(self, queue):
        for _ in range(2):
            with Connection("memory://") as connection:
                producer = connection.Producer(exchange=queue.exchange)
                producer.publish("text", "key", declare=[queue])
                assert queue(connection.channel()).get(no_ack=True).payload == "text"
                queue(connection.channel()).delete()


class TestRetryPolicy:
    """Known faults 16 and 32."""

    policy = {"max_retries": 2, "interval_start": 0, "interval_step": 0, "interval_max": 0}

    @pytest.fixture
    def down(self):
        return Connection(transport=Refusing, transport_options={"max_retries": 9})

    @pytest.mark.parametrize("retry", [True, False])
    def test_bounds_connecting_and_is_written_nowhere(self, down, retry):
        policy = dict(self.policy)
        with pytest.raises(OperationalError):
            down.Producer().publish("text", "key", retry=retry, retry_policy=policy)
        assert down.transport.tries == 3
        assert down.transport_options == {"max_retries": 9}
        assert policy == self.policy

    @pytest.mark.parametrize("retry", [True, False])
    def test_timeout_bounds_the_whole_call(self, down, retry):
        began = monotonic()
        with pytest.raises(OperationalError):
            down.Producer().publish("text", "key", retry=retry, timeout=0.2)
        assert 0.1 < monotonic() - began < 2

    def test_errback_hears_of_each_retry(self, down):
        heard = []
        policy = {**self.policy, "errback": lambda exc, interval: heard.append(interval)}
        with pytest.raises(OperationalError):
            down.Producer().publish("text", "key", retry=True, retry_policy=policy)
        assert len(heard) == 2


class TestThreads:
    def test_a_producer_each(self, queue):
        """Connections may be shared by threads, channels and what is made on them may not."""
        with Connection("memory://") as connection:
            queue(connection.channel()).declare()

            def publish(number):
                producer = connection.Producer(connection.channel())
                for each in range(50):
                    producer.publish([number, each], "key", exchange=queue.exchange)

            threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            bound = queue(connection.channel())
            got = [bound.get(no_ack=True).payload for _ in range(400)]
        for number in range(8):
            assert [each for who, each in got if who == number] == list(range(50))
