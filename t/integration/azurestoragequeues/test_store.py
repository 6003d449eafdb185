"""The store of Azure Storage Queues against Azurite."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from kombu import Connection, Exchange, Queue, binding
from kombu.testing.conformance.store import bodies, envelope
from kombu.transport.azurestoragequeues import Transport
from kombu.transport.azurestoragequeues.store import LARGEST_MESSAGE, StorageQueueStore
from kombu.transport.virtual.envelope import noting
from kombu.transport.virtual.errors import MessageTooLarge
from kombu.transport.virtual.store import Put, QueueSpec
from t.integration.stepped import UnorderedReturns, VisibilityContract
from t.services.pool import Servers

OpenStore = Callable[..., StorageQueueStore]


@pytest.mark.server("azurite")
class TestStorageQueueStore(UnorderedReturns, VisibilityContract):
    @pytest.fixture
    def open_store(self, servers: Servers) -> OpenStore:
        prefix = f"{uuid4().hex[:8]}-"

        def open_one(**options: Any) -> StorageQueueStore:
            options = {"queue_name_prefix": prefix, "lease": 2, "polling_interval": 0.1, **options}
            url = servers.env("azurite")["AZURE_QUEUES_URL"]
            store = Transport(Connection(url, transport_options=options)).create_store()
            assert isinstance(store, StorageQueueStore)
            return store

        return open_one

    def test_a_claim_is_one_call_of_32(self, open_store: OpenStore, queue: str) -> None:
        store = open_store()
        self.put(store, queue, *map(str, range(40)))
        assert len(store.claim([queue], store.claim_window)) == 32
        assert store.size(queue) == 8

    def test_a_message_too_large_is_named(self, open_store: OpenStore, queue: str) -> None:
        store = open_store()
        with pytest.raises(MessageTooLarge, match=rf"\d+ bytes.*{LARGEST_MESSAGE}"):
            store.put([Put(queue, envelope("x" * LARGEST_MESSAGE))])
        assert store.size(queue) == 0

    def test_a_text_of_others_becomes_a_message(self, open_store: OpenStore, queue: str) -> None:
        store = open_store()
        for text in ("plain text", '{"body": 1}', ""):
            store.queues.client(queue).send_message(text)
            (claim,) = self.claim(store, queue, 1)
            assert claim.message["body"] == text
            assert claim.message["content-type"] is None
            store.settle(acks=[claim])

    def test_a_note_holds_back_what_azure_can_not(self, open_store: OpenStore, queue: str) -> None:
        store = open_store()
        ready_at = time.time() + 1.5
        store.put([Put(queue, noting(envelope("late"), ready_at))])
        self.claim(store, queue, 1)
        assert time.time() >= ready_at

    def test_a_queue_deleted_by_others_is_made_again(
        self, open_store: OpenStore, queue: str
    ) -> None:
        store, other = open_store(), open_store()
        self.put(store, queue, "a")
        other.delete(queue)
        self.put(store, queue, "b")
        assert bodies(self.claim(store, queue, 1)) == ["b"]

    def test_messages_live_longer_than_a_week(self, open_store: OpenStore, queue: str) -> None:
        store = open_store()
        self.put(store, queue, "a")
        (message,) = store.queues.client(queue).peek_messages()
        assert message.expires_on.year - message.inserted_on.year > 100

    @pytest.mark.parametrize("arguments", [{}, {"x-dead-letter-exchange": "dead"}])
    def test_azure_drops_what_expires_unless_it_is_dead_lettered(
        self, open_store: OpenStore, arguments: dict[str, Any]
    ) -> None:
        store = open_store()
        store.declare(QueueSpec("q", arguments=arguments))
        store.put([Put("q", envelope("short"), expires_at=time.time() + 60)])
        (message,) = store.queues.client("q").peek_messages()
        lifetime = (message.expires_on - message.inserted_on).total_seconds()
        assert lifetime <= 60 if not arguments else lifetime > 1e9


@pytest.mark.server("azurite")
def test_a_forked_child_does_not_wait_for_threads_of_its_parent(servers: Servers) -> None:
    script = """
        import os, signal, sys
        from kombu import Connection, Exchange, Queue

        exchange = Exchange("forked", "fanout")
        producer = Connection(sys.argv[1]).Producer(exchange=exchange)
        queues = [Queue(f"forked-{number}", exchange) for number in range(3)]
        producer.publish("parent", declare=queues)
        child = os.fork()
        if not child:
            signal.alarm(10)
            producer.publish("child")
            os._exit(0)
        os._exit(os.waitpid(child, 0)[1])
    """
    url = servers.env("azurite")["AZURE_QUEUES_URL"]
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), url], check=True, timeout=30)


@pytest.mark.server("azurite")
class TestSharedBindings:
    @pytest.fixture
    def connect(self, servers: Servers) -> Iterator[Callable[..., Any]]:
        prefix = f"{uuid4().hex[:8]}."
        opened: list[Any] = []

        def connect() -> Any:
            url = servers.env("azurite")["AZURE_QUEUES_URL"]
            opened.append(Connection(url, transport_options={"queue_name_prefix": prefix}))
            return opened[-1]

        yield connect
        for connection in opened:
            connection.close()

    def test_a_publisher_that_declared_nothing_reaches_all(
        self, connect: Callable[..., Any]
    ) -> None:
        channel = connect().channel()
        news = Exchange("news", "topic")
        queues = [Queue(name, news, routing_key=f"{name}.#")(channel) for name in ("a", "B c")]
        for queue in queues:
            queue.declare()
        with connect() as other:
            for key in ("a.x", "B c.x"):
                other.Producer().publish(key, exchange="news", routing_key=key)
        for queue, key in zip(queues, ("a.x", "B c.x"), strict=True):
            message = queue.get()
            assert message.payload == key
            message.ack()
            assert queue.get() is None

    def test_a_binding_made_after_a_look_is_found(self, connect: Callable[..., Any]) -> None:
        channel, producer = connect().channel(), connect().Producer()
        replies = Exchange("replies", "direct")
        for key in ("one", "two"):
            queue = Queue(key, replies, routing_key=key)(channel)
            queue.declare()
            producer.publish(key, exchange="replies", routing_key=key)
            assert queue.get().payload == key

    def test_unbound_is_unbound_for_all(self, connect: Callable[..., Any]) -> None:
        channel = connect().channel()
        queue = Queue("q", Exchange("x"), routing_key="k")(channel)
        queue.declare()
        channel.queue_unbind("q", "x", "k")
        with connect() as other, pytest.warns(UserWarning, match="No queues"):
            other.Producer().publish(1, exchange="x", routing_key="k")
        assert queue.get() is None

    def test_more_bindings_than_fit_are_kept_by_who_made_them(
        self, connect: Callable[..., Any]
    ) -> None:
        channel = connect().channel()
        exchange = Exchange("many", "direct")
        keys = [f"{number}-" + "k" * 3000 for number in range(8)]
        bindings = [binding(exchange, routing_key=key) for key in keys]
        queue = Queue("full", bindings=bindings)(channel)
        queue.declare()
        for key in keys:
            channel.Producer().publish(key[:5], exchange="many", routing_key=key)
        assert len(list(iter(lambda: queue.get(no_ack=True), None))) == len(keys)
        for key in keys:
            channel.queue_unbind("full", "many", key)
        channel.Producer().publish("none", exchange="many", routing_key=keys[-1])
        assert queue.get() is None

    def test_a_binding_that_others_overwrite_each_time_is_an_error(
        self, connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = connect()
        channel = connection.channel()
        Queue("q")(channel).declare()
        client = connection.transport.store.queues.client("q")
        monkeypatch.setattr(client, "set_queue_metadata", lambda metadata: None)
        with pytest.raises(connection.channel_errors, match="bindings of queue 'q'"):
            Queue("q", Exchange("x"), routing_key="k")(channel).declare()
