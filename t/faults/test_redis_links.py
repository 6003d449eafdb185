"""Redis that is frozen, cut, read-only, secured or just idle."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from kombu import Connection, Exchange, Producer, Queue
from kombu.exceptions import OperationalError
from t.faults.broker import Broker, consume, drain, payloads, take
from t.faults.relay import Relay
from t.faults.worker import Worker
from t.services.pool import Servers

pytestmark = pytest.mark.server("redis")


@pytest.fixture
def client(redis: Broker) -> Iterator[Any]:
    """redis-py, for ruling the server."""
    module = pytest.importorskip("redis")
    with module.Redis.from_url(redis.url) as client:
        yield client


def cut(client: Any) -> None:
    """Close every other connection from the server's side."""
    client.client_kill_filter(skipme=True)


# ---- frozen


@pytest.mark.fault(32)
@pytest.mark.timeout(10, func_only=True)
def test_publishs_timeout_holds_on_a_frozen_server(redis: Broker) -> None:
    with Relay(redis.url) as relay:
        connection = redis.connection(relay.url)
        channel = connection.channel()
        name = redis.queue(channel, "before")
        relay.mute()
        begin = time.monotonic()
        with pytest.raises((*connection.connection_errors, TimeoutError)):
            Producer(channel).publish("x", routing_key=name, timeout=2)
        assert time.monotonic() - begin < 4


@pytest.mark.fault(32)
@pytest.mark.timeout(12, func_only=True)
def test_publishs_timeout_holds_for_connecting(redis: Broker) -> None:
    with Relay(redis.url) as relay:
        relay.freeze()
        connection = Connection(relay.url)
        begin = time.monotonic()
        with pytest.raises((*connection.connection_errors, OperationalError, TimeoutError)):
            connection.Producer().publish("x", routing_key="q", retry=True, timeout=2)
        assert time.monotonic() - begin < 4


@pytest.mark.fault("kombu#1463")
@pytest.mark.timeout(15, func_only=True)
def test_publish_goes_to_the_alternate(redis: Broker) -> None:
    # Green there: a dead port is refused at once.
    policy = {"max_retries": 3, "interval_start": 0.01, "interval_step": 0, "interval_max": 0.01}
    with Connection(f"redis://127.0.0.1:1/0;{redis.url}") as connection:
        name = redis.name()
        connection.Producer().publish(
            "x", routing_key=name, retry=True, retry_policy=policy, declare=[Queue(name)]
        )
        assert payloads(take(connection.channel(), name, 1)) == ["x"]


# ---- failover


@contextmanager
def read_only(client: Any) -> Iterator[None]:
    """The server as a replica, as after a failover."""
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        client.execute_command("REPLICAOF", "NO", "ONE")


@pytest.mark.fault(41, "celery#8384", "kombu#2214")
def test_read_only_is_a_lost_connection(redis: Broker, client: Any) -> None:
    connection = redis.connection()
    channel = connection.channel()
    name = redis.queue(channel)
    with read_only(client), pytest.raises(Exception, match=r"(?i)read.?only") as caught:
        redis.put(channel, name, "x")
    assert isinstance(caught.value, connection.recoverable_connection_errors)
    assert not isinstance(caught.value, connection.channel_errors)


# ---- cut


@pytest.mark.fault("celery#8030", "celery#8091")
@pytest.mark.timeout(25, func_only=True)
def test_a_consumer_that_was_cut_hears_again(redis: Broker, client: Any) -> None:
    # Green there: what made workers deaf is in Celery's event loop.
    name = redis.name()
    worker = Worker(Connection(redis.url), name)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    assert worker.ready.wait(5)
    worker.ready.clear()
    cut(client)
    redis.put(redis.connection().channel(), name, "x")
    arrived = worker.arrived.wait(10)
    worker.should_stop = True
    thread.join(10)
    assert arrived
    assert worker.got == ["x"]


@pytest.mark.fault("celery#7946")
def test_a_cut_link_with_a_full_window_costs_no_processor_time(redis: Broker, client: Any) -> None:
    # Green there in this way of driving; the loop that spins is the event loop's.
    connection = redis.connection()
    channel = connection.channel()
    name = redis.queue(channel, *range(3))
    _, got = consume(channel, name, prefetch_count=1)
    drain(connection, lambda: got)
    cut(client)
    before = time.process_time()
    with suppress(*connection.connection_errors):
        drain(connection, lambda: False, limit=2)
    assert time.process_time() - before < 1


# ---- leases


@pytest.mark.fault("kombu#337", "celery#5935", "celery#6236")
def test_a_long_task_is_not_run_by_who_has_a_shorter_timeout(redis: Broker) -> None:
    # Green there: this one sweep does not take it; the threads tell of hours under load.
    exchange, name = redis.name("direct"), redis.name()
    queue = Queue(name, Exchange(exchange), routing_key="k")
    patient = redis.connection()
    channel = patient.channel()
    queue(channel).declare()
    Producer(channel).publish("long task", exchange=exchange, routing_key="k")
    _, held = consume(channel, name)
    drain(patient, lambda: held)
    drain(patient, lambda: False, limit=1.5)
    hasty = redis.connection(visibility_timeout=1, unacked_restore_interval=1)
    hasty_channel = hasty.channel()
    queue(hasty_channel).declare()
    # What a consumer does now and then: put back what others hold for too long.
    hasty_channel.qos.restore_visible()
    stealing, stolen = consume(hasty_channel, name)
    drain(hasty, lambda: stolen, limit=2)
    stealing.cancel()
    assert payloads(stolen) == []
    channel.close()
    assert payloads(take(hasty.channel(), name, 1)) == ["long task"]


@pytest.mark.fault("celery#6625")
def test_an_idle_consumer_sends_next_to_nothing(redis: Broker) -> None:
    with Relay(redis.url) as relay:
        connection = Connection(relay.url)
        consume(connection.channel(), redis.queue(connection.channel()))
        drain(connection, lambda: False, limit=1)
        before = relay.requests
        with suppress(TimeoutError):
            connection.drain_events(timeout=4)
        # One look at the start, and perhaps one for what others hold.
        assert relay.requests - before <= 2
        connection.release()


# ---- TLS


@pytest.mark.fault(17)
@pytest.mark.server("redis-secure")
def test_certificates_are_checked_by_default(servers: Servers) -> None:
    url = servers.env("redis-secure")["REDIS_TLS_URL"]
    connection = Connection(url, connect_timeout=2)
    with pytest.raises(connection.connection_errors, match=r"(?i)certificate"):
        connection.connect()
    connection.release()


@pytest.mark.fault(17)
@pytest.mark.server("redis-secure")
def test_unchecked_certificates_are_said(servers: Servers) -> None:
    url = servers.env("redis-secure")["REDIS_TLS_URL"]
    with pytest.warns(UserWarning, match="certificate"):
        Connection(f"{url}?ssl_cert_reqs=CERT_NONE", connect_timeout=2).connect()
