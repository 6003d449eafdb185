"""Servers go away under load: nothing is lost, publisher and consumer go on by themselves.

KOMBU_TEST_RESTARTS says how often (2 by default). Where a server keeps nothing (moto), or is
one where three would elect (SecantusDB), the network is cut instead, and the test says so.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pymongo
import pytest

from kombu import Connection, Queue
from kombu.mixins import ConsumerMixin
from kombu.testing.faults import FaultProxy
from t.services.pool import Servers
from t.services.zookeeper import ZooKeeperEnsemble

TIMES = int(os.environ.get("KOMBU_TEST_RESTARTS", "2"))
BETWEEN = int(os.environ.get("KOMBU_TEST_RESTARTS_MESSAGES", "50"))
POLICY = {"max_retries": 200, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.5}
PATIENCE = 60.0

pytestmark = pytest.mark.timeout(120 + 60 * TIMES)

Interrupt = Callable[[], None]


class Reader(ConsumerMixin):
    def __init__(self, connection: Connection, queue: Queue) -> None:
        self.connection = connection
        self.queue = queue
        self.seen: Counter[int] = Counter()

    def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:
        return [Consumer([self.queue], callbacks=[self.handle], prefetch_count=50)]

    def handle(self, body: int, message: Any) -> None:
        self.seen[body] += 1
        message.ack()


class Load:
    """One publisher that waits for each confirm, and one consumer, while a server is away.

    Arguments:
        url: of the broker; both sides connect by it.
        options: transport options.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self.name = f"load-{uuid4().hex[:8]}"
        self.connections = [
            Connection(url, transport_options=options, connect_timeout=5) for _ in range(2)
        ]
        self.queue = Queue(self.name, durable=True)
        self.reader = Reader(self.connections[0], self.queue)
        self.confirmed: list[int] = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.reader.run, daemon=True)]
        self.threads.append(threading.Thread(target=self.publish, daemon=True))

    def publish(self) -> None:
        producer = self.connections[1].Producer()
        number = 0
        while not self.stop.is_set():
            producer.publish(number, routing_key=self.name, retry=True, retry_policy=POLICY)
            self.confirmed.append(number)
            number += 1

    def until(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what} after {PATIENCE} s"
            time.sleep(0.01)

    def run(self, interrupt: Interrupt, times: int) -> None:
        """Interrupt so often, each time after both sides went on."""
        self.queue(self.connections[1].default_channel).declare()
        for thread in self.threads:
            thread.start()
        try:
            for _ in range(times):
                published, read = len(self.confirmed) + BETWEEN, len(self.reader.seen) + BETWEEN
                self.until(lambda p=published: len(self.confirmed) >= p, "publisher still")
                self.until(lambda r=read: len(self.reader.seen) >= r, "consumer still")
                interrupt()
        finally:
            self.stop.set()
            self.threads[1].join(PATIENCE)
        self.until(lambda: not set(self.confirmed) - self.reader.seen.keys(), "messages missing")
        self.reader.should_stop = True
        self.threads[0].join(PATIENCE)
        assert not any(thread.is_alive() for thread in self.threads)

    @property
    def outcome(self) -> str:
        twice = sum(count - 1 for count in self.reader.seen.values())
        return f" {len(self.confirmed)} confirmed, none lost, delivered again {twice}"


@pytest.fixture
def under_load(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., None]]:
    loads: list[Load] = []

    def run(url: str, options: dict[str, Any], interrupt: Interrupt) -> None:
        load = Load(url, options)
        loads.append(load)
        load.run(interrupt, TIMES)
        with capsys.disabled():
            print(load.outcome, end=" ")

    yield run
    for load in loads:
        load.stop.set()
        load.reader.should_stop = True
        for connection in load.connections:
            connection.release()


@pytest.fixture
def cut() -> Iterator[Callable[[str], tuple[int, Interrupt]]]:
    """A way to a server that can be cut: its port, and what cuts it for a moment."""
    proxies: list[FaultProxy] = []

    def through(address: str) -> tuple[int, Interrupt]:
        parts = urlsplit(address)
        proxy = FaultProxy(parts.hostname or "", parts.port or 0).start()
        proxies.append(proxy)

        def interrupt() -> None:
            proxy.set(refuse=True)
            proxy.reset()
            time.sleep(1)  # how long the server is out of reach
            proxy.heal()

        return proxy.port, interrupt

    yield through
    for proxy in proxies:
        proxy.stop()


@pytest.mark.server("mongodb")
def test_mongodb_restarted(servers: Servers, under_load: Callable[..., None]) -> None:
    service = servers.service("mongodb")
    url = service.env["MONGODB_URL"].rpartition("/")[0]
    under_load(f"{url}/restarts_{uuid4().hex[:8]}", {"lease": 3}, service.restart)


@pytest.mark.server("mongodb")
def test_mongodb_cut_off(
    servers: Servers,
    under_load: Callable[..., None],
    cut: Callable[[str], tuple[int, Interrupt]],
) -> None:
    port, interrupt = cut(servers.env("mongodb")["MONGODB_URL"])
    url = f"mongodb://127.0.0.1:{port}/cuts_{uuid4().hex[:8]}?directConnection=true"
    under_load(url, {"lease": 3}, interrupt)


@pytest.mark.server("mongodb")
def test_mongodb_steps_down(servers: Servers, under_load: Callable[..., None]) -> None:
    """SecantusDB is alone: after the step-down there is no primary until it is one again."""
    url = servers.env("mongodb")["MONGODB_URL"].rpartition("/")[0]

    def step_down() -> None:
        with pymongo.MongoClient(url) as client:
            client.admin.command({"replSetStepDown": 2, "force": True})

    under_load(f"{url}/steps_{uuid4().hex[:8]}", {"lease": 3}, step_down)


@pytest.mark.server("zookeeper")
def test_zookeeper_restarted(servers: Servers, under_load: Callable[..., None]) -> None:
    service = servers.service("zookeeper")
    url = f"{service.env['ZOOKEEPER_URL']}/restarts-{uuid4().hex[:8]}"
    under_load(url, {"session_timeout": 4}, service.restart)


@pytest.mark.server("zookeeper-ensemble")
def test_zookeeper_leaders_killed(servers: Servers, under_load: Callable[..., None]) -> None:
    ensemble = servers.service("zookeeper-ensemble")
    assert isinstance(ensemble, ZooKeeperEnsemble)
    hosts = ensemble.env["ZOOKEEPER_ENSEMBLE_HOSTS"].split(",")
    path = f"leaders-{uuid4().hex[:8]}"
    url = ";".join(f"zookeeper://{host}/{path}" for host in hosts)
    under_load(url, {"session_timeout": 4}, ensemble.kill_leader)


@pytest.mark.server("sqs")
def test_sqs_cut_off(
    servers: Servers,
    under_load: Callable[..., None],
    cut: Callable[[str], tuple[int, Interrupt]],
) -> None:
    """moto keeps its queues in memory: the network goes away, not the server."""
    port, interrupt = cut(servers.env("sqs")["SQS_ENDPOINT"])
    options = {
        "endpoint_url": f"http://127.0.0.1:{port}",
        "is_secure": False,
        "wait_time_seconds": 2,
        "lease": 5,
    }
    under_load(f"sqs://key:secret@127.0.0.1:{port}//", options, interrupt)
