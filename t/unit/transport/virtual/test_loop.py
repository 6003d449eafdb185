"""A store driven by the event loop: a pipe stands for the backend's socket."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from kombu import Connection, Consumer, Producer, Queue
from kombu.asynchronous import Hub
from kombu.transport import memory
from kombu.transport.memory import MemoryBroker
from t.unit.transport.virtual.leased import LeasedStore


class _Bell(threading.Event):
    """Rings a pipe when a message comes."""

    def __init__(self, fileno: int) -> None:
        super().__init__()
        self.fileno = fileno

    def set(self) -> None:
        if not self.is_set():
            super().set()
            os.write(self.fileno, b"!")


class PipeStore(LeasedStore):
    claim_window = 4

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.reading, self.writing = os.pipe()
        self.bell = _Bell(self.writing)
        self.arms = 0

    def filenos(self) -> Sequence[int]:
        return (self.reading,)

    def arm(self, queues: Sequence[str]) -> None:
        self.arms += 1
        with self.broker.lock:
            for name in queues:
                queue = self.broker.queue(name)
                queue.waiters.add(self.bell)
                if queue.count:
                    self.bell.set()

    def on_readable(self, fileno: int) -> bool:
        os.read(self.reading, 100)
        self.bell.clear()
        return True


class Transport(memory.Transport):
    def create_store(self) -> Any:
        return PipeStore(self.broker)


@pytest.fixture
def client() -> Any:
    with Connection(transport=Transport, virtual_host="loop") as client:
        client.connect()
        yield client
    memory.reset("loop")


@pytest.fixture
def hub(client: Any) -> Any:
    hub = Hub()
    client.transport.register_with_event_loop(client.connection, hub)
    yield hub
    client.transport.unregister_from_event_loop(client.connection, hub)
    hub.close()


def run(hub: Any, until: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "what was waited for did not come"
        hub.run_once()


def test_messages_are_delivered_by_the_loop(client: Any, hub: Any) -> None:
    got: list[Any] = []
    Consumer(client.channel(), [Queue("q")], on_message=got.append).consume()
    producer = Producer(client)
    for number in range(10):
        producer.publish(number, routing_key="q")
    run(hub, lambda: len(got) == 10)
    timer = threading.Timer(0.05, producer.publish, ("late",), {"routing_key": "q"})
    timer.start()
    run(hub, lambda: len(got) == 11)
    timer.join()
    assert [message.payload for message in got] == [*range(10), "late"]


def test_without_credit_the_loop_rests_and_an_ack_starts_it_again(client: Any, hub: Any) -> None:
    got: list[Any] = []
    Consumer(client.channel(), [Queue("q")], on_message=got.append, prefetch_count=2).consume()
    for number in range(3):
        Producer(client).publish(number, routing_key="q")
    run(hub, lambda: len(got) == 2)
    store = client.transport.store
    hub.call_later(0.01, lambda: None)
    hub.run_once()
    arms = store.arms
    hub.call_later(0.01, lambda: None)
    hub.run_once()
    assert store.arms == arms
    got[0].ack()
    run(hub, lambda: len(got) == 3)


def test_acknowledgements_leave_before_the_loop_sleeps(client: Any, hub: Any) -> None:
    got: list[Any] = []

    def acknowledge(message: Any) -> None:
        got.append(message)
        message.ack()

    Consumer(client.channel(), [Queue("q")], on_message=acknowledge, prefetch_count=4).consume()
    for number in range(4):
        Producer(client).publish(number, routing_key="q")
    run(hub, lambda: len(got) == 4)
    hub.call_later(0.0, lambda: None)
    hub.run_once()
    assert sum(acks for acks, _, _ in client.transport.store.settled) == 4


def test_unregistered_it_takes_no_part(client: Any, hub: Any) -> None:
    client.transport.unregister_from_event_loop(client.connection, hub)
    got: list[Any] = []
    Consumer(client.channel(), [Queue("q")], on_message=got.append).consume()
    Producer(client).publish("x", routing_key="q")
    hub.call_later(0.01, lambda: None)
    hub.run_once()
    assert got == []
    client.drain_events(timeout=1)
    assert len(got) == 1
