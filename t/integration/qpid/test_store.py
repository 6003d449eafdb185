"""The store that speaks AMQP 1.0 to RabbitMQ."""

from __future__ import annotations

import gc
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import amqp
import pytest
from amqp.exceptions import RecoverableConnectionError

from kombu import Connection
from kombu.testing.conformance import Harness
from kombu.testing.conformance.store import StoreContract, bodies
from kombu.transport.qpid import Transport
from kombu.transport.qpid.store import AMQP10Store, address
from kombu.transport.qpid.wire import Address, Wire
from kombu.transport.virtual.store import QueueSpec
from t.services.pool import Servers

OpenStore = Callable[..., AMQP10Store]


def url_of(servers: Servers) -> str:
    return servers.env("rabbitmq")["RABBITMQ_AMQP10_URL"].replace("amqp://", "qpid://")


@pytest.mark.server("rabbitmq")
class TestAMQP10Store(StoreContract):
    @pytest.fixture
    def open_store(self, servers: Servers) -> OpenStore:
        def open_one(**options: Any) -> AMQP10Store:
            connection = Connection(url_of(servers), transport_options=options)
            store = Transport(connection).create_store()
            assert isinstance(store, AMQP10Store)
            return store

        return open_one

    @pytest.fixture
    def channel(self, servers: Servers) -> Iterator[Any]:
        """A channel of AMQP 0-9-1."""
        host = servers.env("rabbitmq")["RABBITMQ_AMQP10_URL"].rpartition("@")[2]
        with amqp.Connection(host) as connection:
            yield connection.channel()

    def test_a_lost_connection_gives_back_at_once(self, open_store: OpenStore, queue: str) -> None:
        dead, living = open_store(), open_store()
        self.put(dead, queue, "a", "b")
        self.claim(dead, queue, 2)
        dead.wire.close()
        again = self.claim(living, queue, 2)
        assert bodies(again) == ["a", "b"]
        assert all(claim.redelivered for claim in again)
        with pytest.raises(RecoverableConnectionError):
            dead.settle(acks=again)

    def test_higher_priority_first_then_age(self, open_store: OpenStore) -> None:
        """RabbitMQ can't be told later that a queue has priorities."""
        super().test_higher_priority_first_then_age(open_store(), f"new-{uuid4().hex[:8]}")

    def test_the_broker_itself_knows_the_priorities(
        self, open_store: OpenStore, channel: Any
    ) -> None:
        store, name = open_store(), f"priority-{uuid4().hex[:8]}"
        store.declare(QueueSpec(name, arguments={"x-max-priority": 9, "x-message-ttl": 1000}))
        self.put(store, name, "low")
        self.put(store, name, "high", priority=9)
        message = channel.basic_get(name, no_ack=True)
        assert message.properties["priority"] == 9
        assert b'"high"' in message.body
        # Where arguments are not the same, RabbitMQ refuses: kombu's own are not passed on.
        channel.queue_declare(
            name, durable=True, auto_delete=False, arguments={"x-max-priority": 9}
        )
        store.delete(name)

    def test_a_message_of_others(self, open_store: OpenStore, queue: str, channel: Any) -> None:
        store = open_store()
        channel.basic_publish(amqp.Message(b"\xffplain"), routing_key=queue)
        (claim,) = self.claim(store, queue, 1)
        assert claim.message["body"] == "\ufffdplain"

    def test_credit_is_all_that_comes(
        self, open_store: OpenStore, queue: str, channel: Any
    ) -> None:
        store = open_store()
        self.put(store, queue, *map(str, range(10)))
        assert len(store.claim([queue], 3)) == 3
        assert channel.queue_declare(queue, passive=True).message_count == 7

    def test_a_queue_deleted_by_others_is_made_again(
        self, open_store: OpenStore, queue: str, channel: Any
    ) -> None:
        store = open_store()
        self.put(store, queue, "a")
        channel.queue_delete(queue)
        self.put(store, queue, "b")
        assert bodies(self.claim(store, queue, 1)) == ["b"]

    def test_names_are_quoted_in_addresses(self) -> None:
        assert address("a/b c%\u00e9") == "/amq/queue/a%2Fb%20c%25%C3%A9"


@pytest.mark.parametrize("url", ["qpid://127.0.0.1:1", "qpid://127.0.0.1:1/vhost"])
def test_nobody_listens(url: str) -> None:
    with pytest.raises(RecoverableConnectionError):
        Connection(url, connect_timeout=2).transport.establish_connection()


def threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "kombu-amqp10"}


def test_a_server_that_does_not_answer_leaves_nothing_behind() -> None:
    before, ends = threads(), len(os.listdir("/dev/fd"))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = Address("127.0.0.1", silent.getsockname()[1], None, None, timeout=0.1)
        for _ in range(5):
            with pytest.raises(RecoverableConnectionError, match="did not answer"):
                Wire(address, 1.0).open()
        Harness("memory://").eventually(lambda: threads() <= before, "their threads end")
    gc.collect()
    assert len(os.listdir("/dev/fd")) <= ends + 1


@pytest.mark.server("rabbitmq")
def test_closed_connections_leave_nothing_behind(servers: Servers) -> None:
    def use() -> None:
        with Connection(url_of(servers)) as connection:
            connection.connect()

    use()
    gc.collect()
    before, ends = threads(), len(os.listdir("/dev/fd"))
    for _ in range(3):
        use()
    gc.collect()
    assert threads() <= before
    assert len(os.listdir("/dev/fd")) <= ends


@pytest.mark.server("rabbitmq")
def test_a_wrong_password_is_refused_and_not_told(servers: Servers) -> None:
    host = url_of(servers).rpartition("@")[2]
    connection = Connection(f"qpid://guest:hunter2@{host}", connect_timeout=5)
    with pytest.raises(connection.connection_errors) as caught:
        connection.transport.establish_connection()
    assert "hunter2" not in repr(caught.value)
