"""Servers that restart, freeze, refuse or are demoted: resumed in time, or a clear error."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from amqp.exceptions import ChannelError, RecoverableConnectionError
from amqp.exceptions import ConnectionError as AMQPConnectionError

from kombu import Connection, Consumer, Producer, Queue
from kombu.exceptions import OperationalError
from kombu.mixins import ConsumerMixin
from kombu.testing.conformance.store import envelope
from kombu.transport.virtual.store import Put
from t.integration.redis import restarts
from t.integration.redis.conftest import make_store
from t.integration.redis.servers import RedisServer

QUEUE = Queue("q")


class Worker(ConsumerMixin):
    """Consumes until it is told to stop, as applications do."""

    def __init__(self, url: str, **options: Any) -> None:
        self.connection = Connection(
            url,
            transport_options={"interval_start": 0.1, "interval_step": 0.1, **options},
        )
        self.got: list[Any] = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def get_consumers(self, consumer: Any, channel: Any) -> list[Consumer]:
        return [consumer([QUEUE], on_message=self.on_message, prefetch_count=10)]

    def on_message(self, message: Any) -> None:
        self.got.append(message.payload)
        message.ack()

    def has(self, count: int, seconds: float = 20.0) -> bool:
        end = time.monotonic() + seconds
        while len(set(self.got)) < count and time.monotonic() < end:
            time.sleep(0.02)
        return len(set(self.got)) >= count

    def close(self) -> None:
        self.should_stop = True
        self.thread.join(15)
        self.connection.release()


@pytest.fixture
def worker(own_server: RedisServer) -> Iterator[Worker]:
    worker = Worker(own_server.url, lease=2, socket_timeout=2, health_check_interval=1)
    yield worker
    own_server.wait_until_ready()
    worker.close()


def publish(url: str, *bodies: Any) -> None:
    with Connection(url, transport_options={"socket_timeout": 3}) as connection:
        producer = Producer(connection.channel())
        for body in bodies:
            producer.publish(
                body,
                routing_key="q",
                retry=True,
                retry_policy={"max_retries": 30, "interval_start": 0.1, "interval_max": 0.3},
            )


def test_consumers_resume_after_restarts(own_server: RedisServer, worker: Worker) -> None:
    total = 0
    for _ in range(5):
        publish(own_server.url, *range(total, total + 3))
        total += 3
        own_server.stop(signal.SIGKILL)
        own_server.start()
        publish(own_server.url, *range(total, total + 3))
        total += 3
        assert worker.has(total)
    assert set(worker.got) == set(range(total))


@pytest.mark.timeout(120)
def test_restarts_under_load_lose_nothing(tmp_path: Path) -> None:
    """In short; ``python -m t.integration.redis.restarts`` for fifty."""
    outcome = restarts.run(tmp_path / "restarting", restarts=3)
    assert outcome.sent > 0
    assert (outcome.lost, outcome.consumers_dead) == (0, 0)


def test_consumers_resume_after_client_kill(own_server: RedisServer, worker: Worker) -> None:
    for number in range(5):
        publish(own_server.url, number)
        assert worker.has(number + 1)
        admin = own_server.client()
        for kind in ("normal", "pubsub"):
            admin.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


def test_a_flushed_script_cache_is_no_trouble(own_server: RedisServer, worker: Worker) -> None:
    for number in range(3):
        own_server.client().script_flush()
        publish(own_server.url, number)
        assert worker.has(number + 1)


def test_a_flushed_database_does_not_deafen(own_server: RedisServer, worker: Worker) -> None:
    publish(own_server.url, 1)
    assert worker.has(1)
    own_server.client().flushall()
    publish(own_server.url, 2)
    assert worker.has(2)


def test_a_frozen_server_ends_in_time_and_is_resumed(
    own_server: RedisServer, worker: Worker
) -> None:
    publish(own_server.url, 1)
    assert worker.has(1)
    connection = Connection(own_server.url, transport_options={"socket_timeout": 1})
    producer = Producer(connection.channel())
    producer.publish(2, routing_key="q")
    own_server.freeze()
    started = time.monotonic()
    try:
        with pytest.raises((OperationalError, RecoverableConnectionError)):
            producer.publish(3, routing_key="q")
        assert time.monotonic() - started < 5
    finally:
        own_server.thaw()
    publish(own_server.url, 4)
    assert worker.has(3)
    connection.release()


def test_a_demoted_server_is_a_lost_connection(own_server: RedisServer) -> None:
    store = make_store(own_server.port)
    admin = own_server.client()
    store.put([Put("q", envelope("a"))])
    admin.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(RecoverableConnectionError):
            store.put([Put("q", envelope("b"))])
        with pytest.raises(RecoverableConnectionError):
            store.claim(["q"], 1)
    finally:
        admin.replicaof("NO", "ONE")
    assert len(store.claim(["q"], 5)) == 1
    store.close()


def test_out_of_memory_refuses_publishing_and_lets_consume(own_server: RedisServer) -> None:
    store = make_store(own_server.port)
    store.put([Put("q", envelope("a"))])
    own_server.client().config_set("maxmemory", 1)
    with pytest.raises(RecoverableConnectionError, match="memory"):
        store.put([Put("q", envelope("b"))])
    claims = store.claim(["q"], 5)
    store.settle(acks=claims)
    assert len(claims) == 1
    own_server.client().config_set("maxmemory", 0)
    store.close()


def test_misconf_is_a_passing_connection_error(own_server: RedisServer) -> None:
    store = make_store(own_server.port)
    admin = own_server.client()
    admin.config_set("min-replicas-to-write", 1)
    with pytest.raises(RecoverableConnectionError, match="NOREPLICAS"):
        store.put([Put("q", envelope("a"))])
    admin.config_set("min-replicas-to-write", 0)
    store.put([Put("q", envelope("a"))])
    store.close()


def test_wrong_credentials_are_a_clear_error(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "auth", "requirepass right").start()
    try:
        for url in (server.url, server.url.replace("//", "//:wrongpass@")):
            with pytest.raises((AMQPConnectionError, OperationalError)) as caught:
                Connection(url).ensure_connection(max_retries=1, timeout=3)
            assert "wrongpass" not in str(caught.value)
    finally:
        server.stop(signal.SIGKILL)


def test_a_missing_permission_for_scripts_is_named(own_server: RedisServer) -> None:
    admin = own_server.client()
    admin.execute_command("ACL", "SETUSER", "weak", "on", ">pw", "~*", "&*", "+@all", "-@scripting")
    url = own_server.url.replace("//", "//weak:pw@")
    with Connection(url) as connection:
        channel = connection.channel()
        QUEUE(channel).declare()
        with pytest.raises(ChannelError, match="scripting"):
            QUEUE(channel).get()


def test_without_tracking_consumers_still_wake(own_server: RedisServer) -> None:
    admin = own_server.client()
    admin.execute_command(
        "ACL", "SETUSER", "weak", "on", ">pw", "~*", "&*", "+@all", "-client|tracking"
    )
    worker = Worker(own_server.url.replace("//", "//weak:pw@"))
    publish(own_server.url, 1)
    assert worker.has(1)
    worker.close()


def test_connections_are_few_and_all_are_released(own_server: RedisServer) -> None:
    admin = own_server.client()
    before = len(admin.client_list())
    connection = Connection(own_server.url)
    channel = connection.channel()
    with Consumer(channel, [QUEUE], on_message=lambda message: message.ack()):
        Producer(channel).publish(1, routing_key="q")
        connection.drain_events(timeout=5)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
    assert len(admin.client_list()) - before <= 2
    connection.release()
    deadline = time.monotonic() + 5
    while len(admin.client_list()) > before:
        assert time.monotonic() < deadline


def test_what_a_killed_connection_held_is_given_back_when_it_closes(
    own_server: RedisServer,
) -> None:
    publish(own_server.url, *range(5))
    connection = Connection(own_server.url)
    held: list[Any] = []
    consumer = Consumer(connection.channel(), [QUEUE], on_message=held.append, prefetch_count=5)
    consumer.consume()
    while len(held) < 5:
        connection.drain_events(timeout=5)
    admin = own_server.client()
    for kind in ("normal", "pubsub"):
        admin.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    connection.collect()
    assert admin.llen("q") == 5
    assert admin.hlen("unacked") == 0
