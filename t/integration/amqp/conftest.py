"""RabbitMQ: one that all tests share, and one that a test may stop, freeze and restart."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from kombu import Connection
from kombu.exceptions import HttpError
from kombu.testing.faults import FaultProxy
from kombu.utils.amq_manager import Manager
from t.services.pool import Servers
from t.services.rabbitmq import RabbitMQ, RabbitMQCluster
from t.services.readiness import tcp_ready


@pytest.fixture(scope="session")
def env(servers: Servers) -> dict[str, str]:
    return dict(servers.env("rabbitmq"))


@pytest.fixture(scope="session")
def url(env) -> str:
    return env["RABBITMQ_URL"]


@pytest.fixture
def connect(url) -> Iterator[Callable[..., Connection]]:
    """Connections that are closed after the test, whatever state they are in."""
    made: list[Connection] = []

    def connect(to: str = url, **kwargs: Any) -> Connection:
        made.append(Connection(to, **kwargs))
        return made[-1]

    yield connect
    for connection in made:
        connection.collect()


@pytest.fixture
def connection(connect) -> Connection:
    return connect()


@pytest.fixture
def name() -> str:
    """A name that nobody else uses."""
    return f"t-{uuid4().hex[:12]}"


@pytest.fixture
def queue_of(connection, name) -> Iterator[Callable[..., str]]:
    """Declares a queue, and deletes it in the end."""
    names: list[str] = []

    def declare(suffix: str = "", **options: Any) -> str:
        queue = name + suffix
        options.setdefault("durable", True)
        options.setdefault("auto_delete", False)
        connection.default_channel.queue_declare(queue, **options)
        names.append(queue)
        return queue

    yield declare
    with suppress(Exception):
        channel = connection.channel()
        for queue in names:
            channel.queue_delete(queue)


@pytest.fixture(scope="session")
def manage(env) -> Callable[..., None]:
    """Calls the management interface."""
    base = env["RABBITMQ_MANAGEMENT_URL"].replace("guest:guest@", "")

    def call(method: str, path: str, **body: Any) -> None:
        request = Request(f"{base}/api/{path}", json.dumps(body).encode(), method=method)
        request.add_header("Authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=")
        request.add_header("Content-Type", "application/json")
        urlopen(request, timeout=10).close()

    return call


@pytest.fixture
def proxy(url) -> Iterator[FaultProxy]:
    address = urlsplit(url)
    with FaultProxy(address.hostname, address.port) as proxy:
        proxy.url = f"amqp://guest:guest@127.0.0.1:{proxy.port}//"
        yield proxy


class Broker:
    """A RabbitMQ of the test's own."""

    def __init__(self) -> None:
        self.service = RabbitMQ()
        self.url = self.service.up()["RABBITMQ_URL"]

    def _signal(self, number: int) -> None:
        os.killpg(self.service.labelled("rabbit")["pid"], number)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP: the connections stay, nobody answers."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """SIGKILL and start again, on the same port and data."""
        self.service.restart()

    @contextmanager
    def memory_alarm(self) -> Iterator[None]:
        """Publishers are blocked inside the block."""
        self._watermark("0.0000001")
        try:
            yield
        finally:
            self._watermark("0.4")

    def _watermark(self, share: str) -> None:
        env = {"HOME": self.service.env["RABBITMQ_HOME"]}
        env["ERL_EPMD_PORT"] = self.service.env["ERL_EPMD_PORT"]
        env["RABBITMQ_NODENAME"] = self.service.env["RABBITMQ_NODENAME"]
        self.service.ctl(env, "set_vm_memory_high_watermark", share)


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    broker = Broker()
    yield broker
    broker.service.stop()


class Cluster:
    """Three nodes, each of which can be killed."""

    def __init__(self) -> None:
        self.service = RabbitMQCluster()
        env = self.service.up()
        self.urls = dict(
            zip(("r1", "r2", "r3"), env["RABBITMQ_CLUSTER_URL"].split(";"), strict=True)
        )
        self.url = env["RABBITMQ_CLUSTER_URL"]
        management = urlsplit(env["RABBITMQ_CLUSTER_MANAGEMENT_URL"])
        self._manager = Manager(f"{management.hostname}:{management.port}", "guest", "guest")

    def _queue(self, name: str) -> dict[str, Any]:
        """What the management interface (of r1) knows of a queue."""
        found: dict[str, Any] = {}

        def ask() -> bool:
            with suppress(OSError, HttpError):
                found.update(self._manager.get_queue("/", name))
            return bool(found.get("leader"))

        eventually(ask, f"{name} is known to have a leader")
        return found

    def leader(self, queue: str) -> str:
        """Name of the node that a quorum queue's leader is on."""
        return str(self._queue(queue)["leader"]).partition("@")[0]

    def all_in(self, queue: str) -> None:
        """Wait until all three nodes are up with a member of the quorum queue."""
        eventually(lambda: len(self._queue(queue).get("online", ())) == 3, "three members")

    @contextmanager
    def without(self, node: str) -> Iterator[None]:
        """SIGKILL for a node; it is started again after the block."""
        self.service.kill(node)
        try:
            yield
        finally:
            self.service.revive(node)
            port = urlsplit(self.urls[node]).port
            probe = tcp_ready(port, b"AMQP\0\0\x09\1", b"version")
            eventually(lambda: _true(probe), f"{node} is up", 90)


def _true(probe: Callable[[], Any]) -> bool:
    with suppress(OSError):
        return bool(probe())
    return False


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.service.stop()


def eventually(condition: Callable[[], Any], what: str, timeout: float = 60) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.05)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails when the block takes longer."""
    started = time.monotonic()
    try:
        yield
    finally:
        took = time.monotonic() - started
        assert took < seconds, f"took {took:.1f} s"


def receive(connection: Any, channel: Any, queue: str, count: int, timeout: float = 10) -> list:
    """So many messages of a queue, acknowledged."""
    received: list[Any] = []

    def take(message):
        message = channel.message_to_python(message)
        message.ack()
        received.append(message)

    tag = channel.basic_consume(queue, callback=take)
    deadline = time.monotonic() + timeout
    while len(received) < count:
        connection.drain_events(timeout=max(0.01, deadline - time.monotonic()))
    channel.basic_cancel(tag)
    return received


@pytest.fixture
def count_descriptors() -> Callable[[], int]:
    return lambda: len(os.listdir("/proc/self/fd"))
