"""The Pyro transport against a broker process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from queue import Empty
from uuid import uuid4

import pytest

from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.testing.conformance import Harness, Inbox
from kombu.testing.conformance.store import StoreContract, envelope
from kombu.transport.pyro.broker import BrokerServer, BrokerService
from kombu.transport.pyro.library import LIBRARY, load
from kombu.transport.pyro.link import Link
from kombu.transport.pyro.store import PyroStore
from t.services.pool import Servers

LEASE = 2.0

OpenStore = Callable[[], PyroStore]


def address(servers: Servers) -> tuple[str, int]:
    host, port = servers.env("pyro5")["PYRO5_NS"].split(":")
    return host, int(port)


@pytest.mark.server("pyro5")
class TestPyroStore(StoreContract):
    @pytest.fixture
    def open_store(self, servers: Servers) -> OpenStore:
        return lambda: PyroStore(
            Link(LIBRARY, address(servers), "kombu.broker", 10.0, LEASE), LEASE
        )

    def test_what_others_put_becomes_a_message_of_that_text(
        self, store: PyroStore, queue: str, servers: Servers
    ) -> None:
        with LIBRARY.name_server(*address(servers), 10.0) as names:
            uri = str(names.lookup("kombu.broker"))
        with LIBRARY.proxy(uri, 10.0) as broker:
            broker.put(queue, {"theirs": 1})
        (claim,) = self.claim(store, queue, 1)
        assert json.loads(claim.message["body"]) == {"theirs": 1}


@pytest.mark.server("pyro5")
class TestPyroBroker:
    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        service = servers.service("pyro5")
        with Harness(
            service.env["PYRO5_URL"], transport_options={"lease": LEASE}, restart=service.restart
        ) as harness:
            yield harness

    def test_a_frozen_consumer_loses_its_messages_and_a_late_ack_nothing(
        self, harness: Harness
    ) -> None:
        channel = harness.connection().channel()
        queue = harness.queue(channel)
        harness.put(channel, queue, "first", "second")
        process = harness.process("consume", queue.name, prefetch=1, ack=False)
        assert harness.lines(process, 1) == ["first"]
        process.send_signal(signal.SIGSTOP)
        try:
            message = harness.get(queue)
            assert message.payload == "second"
            again = harness.get(queue, timeout=LEASE * 5)
            assert again.payload == "first"
            assert again.delivery_info["redelivered"]
            message.ack()
            again.ack()
        finally:
            process.send_signal(signal.SIGCONT)

    def test_consumers_go_on_with_a_broker_that_was_restarted(self, harness: Harness) -> None:
        connection = harness.connection()
        queue = harness.queue(connection.channel())
        harness.restart()
        with pytest.raises(connection.connection_errors):
            queue.get()
        with Connection(harness.url, transport_options=harness.transport_options) as again:
            channel = again.channel()
            queue(channel).declare()
            inbox = Inbox(channel, queue, ack=True)
            harness.put(channel, queue, "new")
            harness.until(inbox.has(1), again)

    def test_an_unknown_broker_is_named(self, servers: Servers) -> None:
        host, port = address(servers)
        with (
            Connection(f"pyro://{host}:{port}/nobody") as connection,
            pytest.raises(OperationalError, match="'nobody'"),
        ):
            connection.ensure_connection(max_retries=1, interval_start=0)

    def test_a_restarted_name_server_is_told_again(self, servers: Servers) -> None:
        name = f"kombu.{uuid4().hex[:8]}"
        names = LIBRARY.name_server(*address(servers), 10.0)
        server = BrokerServer(name, "127.0.0.1", 0, address(servers), registration_period=1.0)
        server.start()
        try:
            names.remove(name)
            Harness("memory://").eventually(lambda: name in names.list(), "registered anew")
        finally:
            server.stop()


def test_without_a_name_server() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (
        Connection(f"pyro://127.0.0.1:{port}/kombu.broker") as connection,
        pytest.raises(connection.connection_errors),
    ):
        connection.connect()
    command = [sys.executable, "-m", "kombu.transport.pyro", "--ns-port", str(port)]
    command += ["--patience", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=os.environ)
    assert done.returncode == 1
    assert f"no name server at localhost:{port}" in done.stderr


def test_neither_library_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("Pyro4", "Pyro5"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'kombu\[pyro\]'"):
        load()


class TestPublishedClients:
    """What a client of the published package calls."""

    def test_put_and_get(self) -> None:
        service = BrokerService()
        service.new_queue("queue")
        message = {"body": "text", "properties": {"delivery_tag": "1"}}
        service.put("queue", message)
        assert service.get_queue_names() == ["queue"]
        assert service.size("queue") == 1
        assert service.get("queue") == message
        with pytest.raises(Empty):
            service.get("queue")
        assert service.purge("queue") == 0

    def test_a_queue_is_not_declared_over(self) -> None:
        service = BrokerService()
        service.declare("queue", {"arguments": {"x-max-length": 3}})
        service.new_queue("queue")
        assert service.queue_arguments("queue") == {"x-max-length": 3}

    def test_a_session_that_ends_while_leases_are_looked_at_stops_nothing(self) -> None:
        service = BrokerService()
        service.put("q", envelope("a"))
        sessions = []
        for number in range(2):
            LIBRARY.api.current_context.client = number
            sessions.append(service._sessions[service.open_session(0.0)])
        held = sessions[1].hold(sessions[1].store.claim(["q"], 1))
        sessions[0].hold(held and [held[0][1]])
        sessions[0].store.close()
        service.expire()
        assert service.size("q") == 1
