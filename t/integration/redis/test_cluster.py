"""Cluster and sentinels while something is going on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from kombu import Connection, Consumer, Exchange, Producer, Queue
from t.integration.redis.servers import CLI, RedisServer, free_port
from t.integration.redis.test_faults import Worker

MIGRATIONS = int(os.environ.get("KOMBU_SLOT_MIGRATIONS", "6"))
FAILOVERS = int(os.environ.get("KOMBU_FAILOVERS", "1"))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[RedisServer]]:
    servers = [
        RedisServer(
            tmp_path / str(number),
            "cluster-enabled yes",
            f"cluster-port {free_port()}",
            "cluster-node-timeout 2000",
            "cluster-config-file nodes.conf",
        ).start()
        for number in range(3)
    ]
    assert CLI
    addresses = [f"127.0.0.1:{server.port}" for server in servers]
    command = [CLI, "--cluster", "create", *addresses, "--cluster-replicas", "0", "--cluster-yes"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not all(b"cluster_state:ok" in _info(server) for server in servers):
        assert time.monotonic() < deadline
    yield servers
    for server in servers:
        server.stop(signal.SIGKILL)


def _info(server: RedisServer) -> bytes:
    reply = server.client().execute_command("CLUSTER", "INFO")
    return reply if isinstance(reply, bytes) else repr(reply).replace("'", "").encode()


def _migrate(source: RedisServer, target: RedisServer, slot: int, slow: bool) -> None:
    """What redis-cli --cluster reshard does, key by key."""
    one, other = source.client(), target.client()
    source_id = one.execute_command("CLUSTER", "MYID").decode()
    target_id = other.execute_command("CLUSTER", "MYID").decode()
    other.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
    one.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
    while keys := one.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 5):
        for key in keys:
            one.execute_command("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
            if slow:
                time.sleep(0.02)
    for client in (other, one):
        client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)


class Publisher(threading.Thread):
    """Publishes numbers until it is told to stop; ``sent`` are those that were confirmed."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(daemon=True)
        self.url, self.options = url, options
        self.sent: list[int] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        with Connection(self.url, transport_options=self.options) as connection:
            producer = Producer(connection)
            number = 0
            while not self.stopped.wait(0.003):
                producer.publish(
                    number,
                    routing_key="q",
                    retry=True,
                    retry_policy={"max_retries": 100, "interval_start": 0.05, "interval_max": 0.2},
                )
                self.sent.append(number)
                number += 1

    def finish(self) -> None:
        self.stopped.set()
        self.join(30)
        assert not self.is_alive()


@pytest.mark.timeout(120 + 5 * MIGRATIONS)
def test_a_slot_moves_under_load_without_loss(cluster: list[RedisServer]) -> None:
    url = f"redis+cluster://127.0.0.1:{cluster[0].port}/0"
    slot = key_slot(b"{q}")
    worker = Worker(url, lease=2)
    publisher = Publisher(url)
    publisher.start()
    try:
        for _ in range(MIGRATIONS):
            before = len(publisher.sent)
            owner = next(server for server in cluster if slot in _slots_of(server))
            target = cluster[(cluster.index(owner) + 1) % 3]
            _migrate(owner, target, slot, slow=True)
            deadline = time.monotonic() + 15
            while len(publisher.sent) < before + 20:
                assert time.monotonic() < deadline, "publishing did not resume"
                time.sleep(0.02)
        publisher.finish()
        assert worker.has(len(publisher.sent), 30)
        lost = set(publisher.sent) - set(worker.got)
        twice = sum(count - 1 for count in Counter(worker.got).values())
        print(
            f"{len(publisher.sent)} sent, {MIGRATIONS} migrations, {len(lost)} lost, {twice} twice"
        )
        assert not lost
    finally:
        publisher.stopped.set()
        worker.close()


def test_a_slot_that_nobody_serves_for_a_while_and_a_node_that_goes(
    cluster: list[RedisServer],
) -> None:
    first, second, _ = (server.client() for server in cluster)
    for server in cluster:
        server.client().config_set("cluster-require-full-coverage", "no")
    options = {"health_check_interval": 0.5}
    url = f"redis+cluster://127.0.0.1:{cluster[1].port}/0"
    exchange = Exchange("all", "fanout")
    slots = _slots_of(cluster[0])
    queue = next(f"q{n}" for n in range(1000) if key_slot(f"q{n}".encode()) in slots)
    with (
        Connection(url, transport_options=options) as connection,
        Connection(url, transport_options=options) as other,
    ):
        got: list[Any] = []
        consumer = Consumer(connection.channel(), [Queue("f", exchange)], on_message=got.append)
        consumer.consume()
        producer = Producer(other.channel(), auto_declare=False)
        producer.publish("before", routing_key=queue)
        for server in cluster:
            server.client().execute_command("CLUSTER", "DELSLOTSRANGE", min(slots), max(slots))
        other.transport.broker.server.refresh()
        with pytest.raises(other.recoverable_connection_errors):
            producer.publish("meanwhile", routing_key=queue)
        # What the first node served is the second's now: the first is no master any more.
        second.execute_command("CLUSTER", "ADDSLOTSRANGE", min(slots), max(slots))
        second.execute_command("CLUSTER", "BUMPEPOCH")
        first.execute_command("CLUSTER", "ADDSLOTSRANGE", min(slots), max(slots))
        deadline = time.monotonic() + 10
        while _slots_of(cluster[0]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        # The same channel goes on.
        producer.publish("after", routing_key=queue)
        cluster[0].stop(signal.SIGKILL)
        connection.transport.broker.server.refresh()
        while not got and time.monotonic() < deadline:
            producer.publish("to all", exchange="all")
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=0.2)
        assert got
        consumer.cancel()


def test_a_message_that_was_redirected_waits_for_the_replicas_of_where_it_is(
    cluster: list[RedisServer], tmp_path: Path
) -> None:
    gossip = free_port()
    replica = RedisServer(
        tmp_path / "replica",
        "cluster-enabled yes",
        f"cluster-port {gossip}",
        "repl-diskless-sync-delay 0",
    ).start()
    try:
        client, slots = replica.client(), _slots_of(cluster[0])
        for server in cluster:
            server.client().execute_command("CLUSTER", "MEET", "127.0.0.1", replica.port, gossip)
        master = cluster[0].client().execute_command("CLUSTER", "MYID")
        deadline = time.monotonic() + 20
        while client.info("replication").get("master_link_status") != "up":
            assert time.monotonic() < deadline
            with contextlib.suppress(redis.ResponseError):
                # It may not have heard of the master yet.
                if client.info("replication")["role"] == "master":
                    client.execute_command("CLUSTER", "REPLICATE", master)
            time.sleep(0.05)
        queue = next(f"q{n}" for n in range(1000) if key_slot(f"q{n}".encode()) in slots)
        options = {"wait_replicas": 1, "wait_replicas_timeout": 1.0}
        url = f"redis+cluster://127.0.0.1:{cluster[0].port}/0"
        with Connection(url, transport_options=options) as connection:
            producer = Producer(connection.channel())
            producer.publish("replicated", routing_key=queue)
            _migrate(cluster[0], cluster[1], key_slot(queue.encode()), slow=False)
            with pytest.raises(connection.channel_errors, match="0 of 1 replicas"):
                producer.publish("not replicated", routing_key=queue)
    finally:
        replica.stop(signal.SIGKILL)


def _slots_of(server: RedisServer) -> set[int]:
    client = server.client()
    me = client.execute_command("CLUSTER", "MYID")
    owned: set[int] = set()
    plain = redis.connection.Connection(port=server.port, protocol=2)
    plain.connect()
    plain.send_command("CLUSTER", "SLOTS")
    for first, last, master, *_ in plain.read_response():
        if master[2] == me:
            owned.update(range(first, last + 1))
    plain.disconnect()
    return owned


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[tuple[str, list[RedisServer]]]:
    primary = RedisServer(tmp_path / "primary", "appendonly yes").start()
    replica = RedisServer(
        tmp_path / "replica",
        f"replicaof 127.0.0.1 {primary.port}",
        "repl-diskless-sync-delay 0",
        "appendonly yes",
    ).start()
    watchers = [
        RedisServer(
            tmp_path / f"sentinel{number}",
            f"sentinel monitor mymaster 127.0.0.1 {primary.port} 2",
            "sentinel down-after-milliseconds mymaster 700",
            "sentinel failover-timeout mymaster 3000",
            sentinel=True,
        ).start()
        for number in range(3)
    ]
    deadline = time.monotonic() + 30
    while True:
        known = [
            watcher.client().execute_command("SENTINEL", "CKQUORUM", "mymaster")
            for watcher in watchers
            if len(watcher.client().sentinel_slaves("mymaster")) == 1
            and len(watcher.client().sentinel_sentinels("mymaster")) == 2
        ]
        linked = replica.client().info("replication").get("master_link_status") == "up"
        if len(known) == 3 and linked:
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    url = ";".join(f"sentinel://127.0.0.1:{watcher.port}/0" for watcher in watchers)
    yield url, [primary, replica]
    for server in (*watchers, primary, replica):
        server.stop(signal.SIGKILL)


@pytest.mark.timeout(90 + 40 * FAILOVERS)
def test_a_failover_loses_nothing_that_replicas_acknowledged(
    sentinels: tuple[str, list[RedisServer]],
) -> None:
    url, servers = sentinels
    options = {
        "master_name": "mymaster",
        "lease": 2,
        "socket_timeout": 2,
        "health_check_interval": 1,
    }
    worker = Worker(url, **options)
    publisher = Publisher(url, **options, wait_replicas=1, wait_replicas_timeout=2)
    publisher.start()
    try:
        for _ in range(FAILOVERS):
            target = len(publisher.sent) + 100
            while len(publisher.sent) < target:
                time.sleep(0.05)
            primary = next(s for s in servers if s.client().info("replication")["role"] == "master")
            primary.stop(signal.SIGKILL)
            deadline = time.monotonic() + 30
            other = next(server for server in servers if server is not primary)
            while other.client().info("replication")["role"] != "master":
                assert time.monotonic() < deadline
                time.sleep(0.05)
            primary.start()
            target = len(publisher.sent) + 50
            deadline = time.monotonic() + 40
            while len(publisher.sent) < target:
                assert time.monotonic() < deadline, "publishing did not resume"
                time.sleep(0.05)
        publisher.finish()
        sent = publisher.sent
        assert worker.has(len(sent), 30)
        lost = set(sent) - set(worker.got)
        twice = sum(count - 1 for count in Counter(worker.got).values())
        print(f"{len(sent)} sent, {FAILOVERS} failovers, {len(lost)} lost, {twice} twice")
        assert not lost
    finally:
        publisher.stopped.set()
        worker.close()
