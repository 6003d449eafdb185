"""Servers go away under load: nothing is lost, publisher and consumer go on by themselves.

KOMBU_TEST_RESTARTS says how often (2 by default). Where a server keeps nothing (moto), or is
one where three would elect (SecantusDB), the network is cut instead, and the test says so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pymongo
import pytest

from kombu import Connection, Queue
from kombu.testing.faults import FaultProxy
from t.integration.amqp.load import Load
from t.services.pool import Servers
from t.services.zookeeper import ZooKeeperEnsemble

TIMES = int(os.environ.get("KOMBU_TEST_RESTARTS", "2"))
BETWEEN = int(os.environ.get("KOMBU_TEST_RESTARTS_MESSAGES", "50"))
PATIENCE = 60.0

pytestmark = pytest.mark.timeout(120 + 60 * TIMES)

Interrupt = Callable[[], None]


@pytest.fixture
def under_load(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., None]]:
    """Runs publisher and consumer of a broker, and interrupts it so often as both went on."""
    opened: list[Connection] = []

    def run(url: str, options: dict[str, Any], interrupt: Interrupt) -> None:
        def connect(**ignored: Any) -> Connection:  # what is published is confirmed anyhow
            opened.append(Connection(url, transport_options=options, connect_timeout=5))
            return opened[-1]

        with Load(connect, Queue(f"load-{uuid4().hex[:8]}", durable=True)) as load:
            for _ in range(TIMES):
                load.go_on(BETWEEN, PATIENCE)
                interrupt()
        with capsys.disabled():
            print(f" {load}", end=" ")
        assert not load.lost

    yield run
    for connection in opened:
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
