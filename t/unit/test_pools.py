from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from kombu import Connection, pools
from kombu.exceptions import ConnectionLimitExceeded, OperationalError
from kombu.pools import Connections, PoolGroup, ProducerPool, Producers
from t.unit.connection.scripted import Script, Unreachable


@pytest.fixture(autouse=True)
def clean_pools() -> Iterator[None]:
    limit = pools.get_limit()
    yield
    pools.reset()
    pools.set_limit(limit)


def test_equal_connections_have_one_pool() -> None:
    one = pools.connections[Connection("memory://h/a")]
    assert pools.connections[Connection("memory://h/a")] is one
    assert pools.connections[Connection("memory://h/b")] is not one
    assert pools.producers[Connection("memory://h/a")].connections is one
    assert (
        pools.producers[Connection("memory://h/a")] is pools.producers[Connection("memory://h/a")]
    )


def test_passwords_are_not_in_the_keys() -> None:
    _ = pools.connections[Connection("memory://u:hunter2@h/a")]
    assert "hunter2" not in repr(pools.connections)


def test_threads_that_ask_at_once_get_one_pool() -> None:
    making = threading.Event()
    made: list[object] = []

    class Slow(PoolGroup):
        def create(self, resource: Any, limit: int | None) -> Any:
            made.append(object())
            making.set()
            others_asked.wait(0.1)  # only a group that lets two in would set it
            return made[-1]

    others_asked = threading.Event()
    group = Slow(limit=1)
    seen: list[Any] = []

    def ask() -> None:
        seen.append(group["resource"])
        others_asked.set()

    threads = [threading.Thread(target=ask) for _ in range(16)]
    threads[0].start()
    assert making.wait(10)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert seen == made * 16


def test_limits() -> None:
    assert pools.get_limit() == 10
    pool = pools.connections[Connection("memory://a")]
    assert pool.limit == 10
    pools.set_limit(3)
    assert pool.limit == 3
    assert pools.connections[Connection("memory://b")].limit == 3
    assert Connections(limit=7)[Connection("memory://a")].limit == 7
    assert Producers()[Connection("memory://a")].limit is None


def test_global_limit_leaves_groups_with_their_own_alone() -> None:
    group = pools.register_group(Connections(limit=7))
    try:
        pool = group[Connection("memory://a")]
        pools.set_limit(2)
        assert pool.limit == 7
    finally:
        pools._groups.remove(group)


def test_shrinking_below_what_is_in_use() -> None:
    pool = pools.connections[Connection("memory://a")]
    held = [pool.acquire(), pool.acquire()]
    with pytest.raises(RuntimeError, match="in use"):
        pools.set_limit(1)
    assert pools.get_limit() == 10
    pools.set_limit(1, force=True)
    for connection in held:
        connection.release()
    assert pool.limit == 1


def test_reset_closes_and_forgets() -> None:
    pool = pools.connections[Connection("memory://a")]
    connection = pool.acquire()
    connection.connect()
    pools.reset()
    assert not connection.connected
    assert pools.connections[Connection("memory://a")] is not pool


def test_groups_must_say_how() -> None:
    with pytest.raises(NotImplementedError, match="create"):
        _ = PoolGroup(limit=1)["x"]


def test_producer_gives_its_connection_back() -> None:
    connections = Connection("memory://a").Pool(1)
    pool = ProducerPool(connections, limit=1)
    with pool.acquire() as producer:
        assert producer.connection.connected or producer.channel
        with pytest.raises(ConnectionLimitExceeded):
            connections.acquire()
    connections.acquire().release()
    assert pool.acquire() is producer


def test_a_producer_that_can_not_be_made_keeps_no_connection() -> None:
    class Broken:
        def __init__(self, connection: Connection) -> None:
            raise ValueError("no producer")

    connections = Connection("memory://a").Pool(1)
    with pytest.raises(ValueError, match="no producer"):
        ProducerPool(connections, limit=1, Producer=Broken).acquire()
    assert connections.acquire()


def test_waiting_for_a_connection_has_the_same_limit() -> None:
    connections = Connection("memory://a").Pool(1)
    connections.acquire()
    with pytest.raises(ConnectionLimitExceeded):
        ProducerPool(connections, limit=1).acquire(block=True, timeout=0.05)
    with pytest.raises(ConnectionLimitExceeded):
        ProducerPool(connections, limit=1).acquire()


def test_publish_from_sixteen_threads() -> None:
    connection = Connection("memory://threads")
    pool = pools.producers[connection]
    with connection.SimpleQueue("threads") as queue:
        errors: list[BaseException] = []

        def publish() -> None:
            try:
                for number in range(50):
                    with pool.acquire(block=True, timeout=30) as producer:
                        producer.publish({"n": number}, routing_key="threads")
            except Exception as exc:
                errors.append(exc)
                raise

        threads = [threading.Thread(target=publish) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert queue.qsize() == 16 * 50
        queue.clear()
    connection.release()


class TestConnectionPool:
    def test_as_context_manager(self) -> None:
        pool = Connection("memory://a").Pool(1)
        with pool.acquire() as connection:
            connection.connect()
        assert connection.connected
        assert pool.acquire() is connection

    def test_a_lost_connection_goes_back_unconnected(self) -> None:
        script = Script()
        pool = script.connection().Pool(1)
        with pytest.raises(Unreachable), pool.acquire() as connection:
            connection.connect()
            raise Unreachable("lost")
        assert not script.open
        with pool.acquire() as again:
            assert again.connect()

    def test_one_closed_by_its_user_connects_again(self) -> None:
        pool = Connection("memory://a").Pool(1)
        with pool.acquire() as connection:
            connection.close()
        with pool.acquire() as connection:
            assert connection.channel()

    def test_acquire_channel(self) -> None:
        pool = Connection("memory://a").Pool(1)
        with pool.acquire_channel() as (connection, channel):
            assert channel is connection.default_channel

    def test_clone_belongs_to_no_pool(self) -> None:
        pool = Connection("memory://a").Pool(1)
        connection = pool.acquire()
        clone = connection.clone()
        clone.connect()
        clone.release()
        with pytest.raises(ConnectionLimitExceeded):
            pool.acquire()

    def test_force_close_all(self) -> None:
        script = Script()
        pool = script.connection().Pool(2)
        for connection in [pool.acquire(), pool.acquire()]:
            connection.connect()
        pool.force_close_all()
        assert not script.open


class TestChannelPool:
    def test_channels_are_kept_and_closed_ones_replaced(self) -> None:
        with Connection("memory://a") as connection:
            pool = connection.ChannelPool(2)
            first = pool.acquire()
            first.release()
            assert pool.acquire() is first
            first.close()
            first.release()
            assert pool.acquire() is not first


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_ten_thousand_failed_publishes_leave_nothing() -> None:
    """kombu#1504, kombu#1085: descriptors, channels and memory are as before."""
    script = Script()
    pool = pools.producers[script.connection()]

    def publish(times: int) -> None:
        for number in range(times):
            script.failures.extend([Unreachable(str(number))] * 2)
            with pytest.raises(OperationalError), pool.acquire(block=True, timeout=5) as producer:
                producer.publish({}, routing_key="q", retry=True, retry_policy={"max_retries": 0})
            script.failures.clear()
            script.hosts.clear()
            script.times.clear()
            script.timeouts.clear()

    publish(500)
    gc.collect()
    files = open_files()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    publish(10_000)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert open_files() <= files
    assert not script.open
    # The smallest object that each publish could leave takes 48 bytes.
    assert after - before < 10_000 * 24


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_failed_publishes_to_a_dead_port_leave_no_descriptors() -> None:
    connection = Connection("amqp://127.0.0.1:1//;amqp://127.0.0.1:2//", connect_timeout=1)
    pool = pools.producers[connection]
    policy = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}

    def publish(times: int) -> None:
        for _ in range(times):
            with pytest.raises(OperationalError), pool.acquire(block=True, timeout=5) as producer:
                producer.publish({}, routing_key="q", retry=True, retry_policy=policy)

    publish(10)
    gc.collect()
    files = open_files()
    publish(200)
    gc.collect()
    assert open_files() == files
