"""AMQP over links that fall silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from kombu import Connection, Producer
from t.faults.broker import Broker, consume, drain, lost, payloads, take
from t.faults.relay import Relay
from t.faults.worker import Worker

pytestmark = pytest.mark.server("rabbitmq")


@pytest.mark.fault(31)
@pytest.mark.timeout(25, func_only=True)
def test_publishing_on_a_half_open_link_ends_by_heartbeats(relay: Relay, queue: str) -> None:
    connection = Connection(relay.url, heartbeat=1)
    producer = Producer(connection.channel())
    producer.publish("x", routing_key=queue)
    relay.mute()
    end = time.monotonic() + 6
    with pytest.raises(lost(connection)):
        while time.monotonic() < end:
            producer.publish("x", routing_key=queue)
            time.sleep(0.02)


@pytest.mark.fault(31)
@pytest.mark.timeout(15, func_only=True)
def test_ok_means_arrived_with_confirms(relay: Relay, queue: str) -> None:
    connection = Connection(relay.url, heartbeat=1, transport_options={"confirm_publish": True})
    producer = Producer(connection.channel())
    producer.publish("x", routing_key=queue)
    relay.mute()
    with pytest.raises(lost(connection)):
        producer.publish("x", routing_key=queue)


@pytest.mark.fault(32)
@pytest.mark.timeout(12, func_only=True)
@pytest.mark.parametrize("confirm", [True, False])
def test_publishs_timeout_holds_on_a_frozen_link(relay: Relay, queue: str, confirm: bool) -> None:
    # Green there once there is a connection; see the next test.
    connection = Connection(relay.url, transport_options={"confirm_publish": confirm})
    producer = Producer(connection.channel())
    producer.publish("before", routing_key=queue)
    relay.freeze()
    begin = time.monotonic()
    with pytest.raises(lost(connection)):
        # Without confirms a body that no buffer takes.
        producer.publish(b"x" * (1 if confirm else 50_000_000), routing_key=queue, timeout=2)
    assert time.monotonic() - begin < 4


@pytest.mark.fault(32)
@pytest.mark.timeout(25, func_only=True)
def test_publishs_timeout_holds_for_connecting(relay: Relay) -> None:
    relay.freeze()
    connection = Connection(relay.url)
    begin = time.monotonic()
    with pytest.raises(lost(connection)):
        connection.Producer().publish("x", routing_key="q", retry=True, timeout=2)
    assert time.monotonic() - begin < 4


@pytest.mark.fault(33)
@pytest.mark.timeout(40, func_only=True)
def test_a_mixin_on_a_half_open_link_resumes(amqp: Broker, relay: Relay, queue: str) -> None:
    worker = Worker(Connection(relay.url, heartbeat=2), queue)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    assert worker.ready.wait(5)
    relay.mute()
    amqp.put(amqp.connection().channel(), queue, "x")
    # Three heartbeats to notice, and a few seconds to be heard closing and to connect.
    arrived = worker.arrived.wait(15)
    worker.should_stop = True
    thread.join(5)
    assert arrived


@pytest.mark.fault(34)
@pytest.mark.timeout(20, func_only=True)
def test_drain_events_timeout_holds_with_heartbeats(amqp: Broker, queue: str) -> None:
    with Connection(amqp.url, heartbeat=2) as connection:
        consume(connection.channel(), queue)
        begin = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=3)
        assert 2.9 < time.monotonic() - begin < 4


@pytest.mark.fault("kombu#621")
@pytest.mark.timeout(20, func_only=True)
def test_waiting_for_messages_keeps_the_connection(amqp: Broker, queue: str) -> None:
    with Connection(amqp.url, heartbeat=1) as connection:
        _, got = consume(connection.channel(), queue)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=4)
        amqp.put(amqp.connection().channel(), queue, "x")
        drain(connection, lambda: got)
        assert payloads(got) == ["x"]


def plain(env: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    return env["RABBITMQ_URL"], {}


def tls(env: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    files = {"ca_certs": "CA", "certfile": "CERT", "keyfile": "KEY"}
    options = {name: env[f"RABBITMQ_TLS_{which}"] for name, which in files.items()}
    url = env["RABBITMQ_TLS_URL"].replace("localhost", "127.0.0.1")
    return url, {**options, "server_hostname": "localhost"}


@pytest.mark.fault("kombu#1820", "kombu#1871")
@pytest.mark.timeout(20, func_only=True)
@pytest.mark.parametrize("link", [plain, tls])
def test_drain_events_timeout_holds_in_the_middle_of_a_frame(
    amqp: Broker, servers: Any, queue: str, link: Callable[..., Any]
) -> None:
    # Green there.
    url, ssl = link(servers.env("rabbitmq"))
    with Relay(url) as relay:
        connection = Connection(relay.url, ssl=ssl)
        _, got = consume(connection.channel(), queue)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.2)
        relay.mute_after(40_000)
        amqp.put(amqp.connection().channel(), queue, "x" * 100_000)
        begin = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=1)
        assert time.monotonic() - begin < 3
        assert got == []
        connection.collect()


@pytest.mark.fault(16, "kombu#1463")
@pytest.mark.timeout(15, func_only=True)
def test_publishs_policy_bounds_reconnecting(relay: Relay, queue: str) -> None:
    # Green there, because the policy is written into the connection's options.
    policy = {"max_retries": 1, "interval_start": 0.01, "interval_step": 0, "interval_max": 0.01}
    connection = Connection(relay.url, connect_timeout=1)
    producer = Producer(connection)
    producer.publish("x", routing_key=queue)
    relay.stop()
    begin = time.monotonic()
    with pytest.raises(lost(connection)):
        while True:
            producer.publish("x", routing_key=queue, retry=True, retry_policy=policy)
    assert time.monotonic() - begin < 5


@pytest.mark.fault("kombu#706")
@pytest.mark.timeout(15, func_only=True)
def test_publish_goes_to_the_alternate(amqp: Broker, queue: str) -> None:
    # Green there: a dead port is refused at once.
    policy = {"max_retries": 3, "interval_start": 0.01, "interval_step": 0, "interval_max": 0.01}
    with Connection(f"amqp://127.0.0.1:1//;{amqp.url}") as connection:
        connection.Producer().publish("x", routing_key=queue, retry=True, retry_policy=policy)
        assert payloads(take(connection.channel(), queue, 1)) == ["x"]


@pytest.mark.fault("kombu#2469")
def test_quorum_queues_take_a_prefetch_limit(amqp: Broker) -> None:
    # Green there: the limit is per consumer unless asked for otherwise (Celery did).
    connection = amqp.connection()
    channel = connection.channel()
    name = amqp.name("quorum")
    channel.queue_declare(
        name, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
    )
    try:
        amqp.put(channel, name, 1, 2, 3)
        consumer, got = consume(channel, name, prefetch_count=2)
        drain(connection, lambda: len(got) == 2)
        drain(connection)
        assert len(got) == 2
        consumer.cancel()
    finally:
        connection.channel().queue_delete(name)
