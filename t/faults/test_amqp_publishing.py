"""Publishing to a RabbitMQ that is stopped, short of memory, far away, or comes and goes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.pools import producers
from kombu.transport.native_delayed_delivery import (
    bind_queue_to_native_delayed_delivery_exchange,
    calculate_routing_key,
    declare_native_delayed_delivery_exchanges_and_queues,
    level_name,
)
from t.faults.broker import Broker, drain, lost, payloads, take
from t.faults.relay import Relay

pytestmark = pytest.mark.server("rabbitmq")

POLICY = {"max_retries": 1, "interval_start": 0.01, "interval_step": 0, "interval_max": 0.01}


def within(seconds: float, connection: Any, publish: Any) -> None:
    """The publish fails, and not late."""
    begin = time.monotonic()
    with pytest.raises(lost(connection)):
        publish()
    assert time.monotonic() - begin < seconds


# ---- a broker that does not answer


@pytest.fixture
def stopped(servers: Any) -> Iterator[Any]:
    """Stops the broker's processes inside the block."""
    processes = [p for p in servers.service("rabbitmq").procs if p["label"] == "rabbit"]

    def send(number: int) -> None:
        for process in processes:
            os.killpg(process["pid"], number)

    @contextmanager
    def stopped() -> Iterator[None]:
        send(signal.SIGSTOP)
        try:
            yield
        finally:
            send(signal.SIGCONT)

    yield stopped
    send(signal.SIGCONT)


@pytest.mark.fault("celery#4383", "celery#6911")
@pytest.mark.timeout(25, func_only=True)
def test_publishing_to_a_stopped_broker_ends_the_first_time_and_every_time(
    amqp: Broker, queue: str, stopped: Any
) -> None:
    # Connecting to it is what hangs there.
    connection = amqp.connection(confirm_publish=True)
    producer = Producer(connection)
    producer.publish("before", routing_key=queue)
    with stopped():
        for _ in range(2):
            within(4, connection, lambda: producer.publish("x", routing_key=queue, timeout=1))
        other = Connection(amqp.url)
        within(4, other, lambda: other.Producer().publish("x", routing_key=queue, timeout=1))
        other.collect()


@pytest.fixture
def short_of_memory(servers: Any) -> Iterator[Any]:
    """Has the broker block publishers inside the block."""
    service = servers.service("rabbitmq")
    names = ("ERL_EPMD_PORT", "RABBITMQ_NODENAME")
    env = {"HOME": service.env["RABBITMQ_HOME"], **{name: service.env[name] for name in names}}

    @contextmanager
    def short_of_memory() -> Iterator[None]:
        service.ctl(env, "set_vm_memory_high_watermark", "0.0000001")
        try:
            yield
        finally:
            service.ctl(env, "set_vm_memory_high_watermark", "0.4")

    return short_of_memory


@pytest.mark.fault("kombu#463")
@pytest.mark.timeout(40, func_only=True)
@pytest.mark.parametrize("confirm", [True, False])
def test_publishing_to_a_broker_short_of_memory_is_not_silent(
    amqp: Broker, queue: str, short_of_memory: Any, confirm: bool
) -> None:
    # Green there with confirms; without them it returns as if nothing were.
    connection = amqp.connection(confirm_publish=confirm)
    producer = Producer(connection)
    producer.publish("before", routing_key=queue)
    with short_of_memory():
        # The first ones make it block the connection.
        end = time.monotonic() + 8
        with pytest.raises(lost(connection)):
            while time.monotonic() < end:
                producer.publish("x", routing_key=queue, timeout=1)
                time.sleep(0.05)
        for _ in range(2):
            within(4, connection, lambda: producer.publish("x", routing_key=queue, timeout=1))


@pytest.mark.fault("celery#4627", "kombu#1970")
@pytest.mark.timeout(20, func_only=True)
def test_publishing_goes_on_by_the_alternate(amqp: Broker, relay: Relay, queue: str) -> None:
    # Green there.
    connection = Connection(f"{relay.url};{amqp.url}", connect_timeout=2)
    producer = Producer(connection)
    producer.publish("first", routing_key=queue)
    relay.stop()
    policy = {**POLICY, "max_retries": 5}
    for _ in range(3):
        # Without confirms the first may be written into a dead socket.
        producer.publish("second", routing_key=queue, retry=True, retry_policy=policy)
        time.sleep(0.1)
    assert set(payloads(take(amqp.connection().channel(), queue, 3))) == {"first", "second"}
    connection.release()


# ---- delays


@pytest.mark.fault("celery#9867", "celery#9912", "celery#10111")
@pytest.mark.timeout(40, func_only=True)
def test_a_retry_is_delayed_three_times_over(amqp: Broker) -> None:
    """A retry takes its headers along, those that RabbitMQ wrote of the last delay among them."""
    connection = amqp.connection()
    prefix = amqp.name("delay")
    channel = connection.channel()
    declare_native_delayed_delivery_exchanges_and_queues(connection, "classic", prefix=prefix)
    queue = Queue(f"{prefix}-q", Exchange(f"{prefix}-x", type="topic"), routing_key="dest")
    try:
        queue(channel).declare()
        bind_queue_to_native_delayed_delivery_exchange(connection, queue, prefix=prefix)
        headers: dict[str, Any] = {"id": 1}
        key = "dest"
        for attempt in range(3):
            # Three seconds are two levels.
            key = calculate_routing_key(3, key)
            exchange = Exchange(level_name(27, prefix), type="topic")
            Producer(channel).publish(attempt, exchange=exchange, routing_key=key, headers=headers)
            arrived = take(channel, queue.name, 1, limit=8)
            assert payloads(arrived) == [attempt], "dropped on its way"
            arrived[0].ack()
            headers, key = arrived[0].headers, arrived[0].delivery_info["routing_key"]
    finally:
        channel = connection.channel()
        for level in range(28):
            channel.exchange_delete(level_name(level, prefix))
            channel.queue_delete(level_name(level, prefix))
        for name in (f"{prefix}_celery_delayed_delivery", f"{prefix}-x"):
            channel.exchange_delete(name)
        channel.queue_delete(queue.name)


# ---- distance


@pytest.mark.fault("airflow#8854", "celery#4331")
@pytest.mark.timeout(40, func_only=True)
def test_a_confirmed_batch_waits_for_the_distance_once(
    amqp: Broker, relay: Relay, queue: str
) -> None:
    connection = Connection(relay.url, transport_options={"confirm_publish": True})
    producer = Producer(connection)
    producer.publish("first", routing_key=queue)
    relay.delay(0.02)
    begin = time.monotonic()
    with producer.batch():
        for number in range(300):
            producer.publish(number, routing_key=queue)
    took = time.monotonic() - begin
    channel = amqp.connection().channel()
    assert channel.queue_declare(queue, passive=True).message_count == 301
    # One by one each waits for 20 ms there and 20 ms back.
    assert took < 300 * 0.04 / 4
    connection.release()


# ---- growth


@pytest.mark.fault("kombu#1504")
@pytest.mark.timeout(60, func_only=True)
def test_refused_publishes_use_up_no_channels(amqp: Broker, queue: str) -> None:
    # Green there.
    connection = amqp.connection(confirm_publish=True)
    producer = Producer(connection)
    # More than RabbitMQ allows a connection (2,047).
    for _ in range(2100):
        with pytest.raises(connection.channel_errors):
            producer.publish("x", exchange="nowhere", routing_key="x")
    producer.publish("x", exchange="", routing_key=queue)
    assert payloads(take(connection.channel(), queue, 1)) == ["x"]


# ---- threads


@pytest.mark.fault("kombu#671")
@pytest.mark.timeout(40, func_only=True)
def test_sixteen_threads_share_a_pool(amqp: Broker, queue: str) -> None:
    # Green there.
    pool = producers[Connection(amqp.url)]

    def publish(thread: int) -> None:
        for number in range(50):
            with pool.acquire(block=True, timeout=20) as producer:
                producer.publish([thread, number], routing_key=queue)

    with ThreadPoolExecutor(16) as threads:
        for done in [threads.submit(publish, number) for number in range(16)]:
            done.result(30)
    pool.force_close_all()
    got = payloads(take(amqp.connection().channel(), queue, 800, limit=15))
    assert sorted(got) == [[thread, number] for thread in range(16) for number in range(50)]


@pytest.mark.fault("kombu#671")
@pytest.mark.timeout(40, func_only=True)
def test_sixteen_threads_acknowledge_on_one_channel(amqp: Broker, queue: str) -> None:
    # Green there.
    connection = amqp.connection()
    channel = connection.channel()
    amqp.put(channel, queue, *range(800))
    acked: list[Any] = []
    with ThreadPoolExecutor(16) as threads:
        consumer = Consumer(
            channel,
            [Queue(queue)],
            on_message=lambda message: acked.append(threads.submit(message.ack)),
            auto_declare=False,
            prefetch_count=50,
        )
        consumer.consume()
        drain(connection, lambda: len(acked) == 800, limit=20)
    assert len(acked) == 800
    for done in acked:
        done.result()
    consumer.cancel()
    channel.close()
    declared = amqp.connection().channel().queue_declare(queue, passive=True)
    assert declared.message_count == 0
