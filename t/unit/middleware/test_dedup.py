"""Deduplication: what was acknowledged is not handled again, and nothing is lost by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kombu import Connection, Queue
from kombu.middleware import Deduplicate, MemorySeen, Retry


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connection(clock: Clock, request: pytest.FixtureRequest) -> Iterator[Connection]:
    dedup = Deduplicate(window=60, store=MemorySeen(clock=clock))
    with Connection("memory://", virtual_host=request.node.name, middleware=[dedup]) as connection:
        yield connection


def drain(connection: Connection, handle: Any, **options: Any) -> list[Any]:
    """Consume all there is; the bodies that the handler saw."""
    seen: list[Any] = []

    def note(body: Any, message: Any) -> None:
        seen.append(body)
        handle(message)

    channel = connection.channel()
    with connection.Consumer(Queue("q"), channel, callbacks=[note], **options):
        while True:
            try:
                connection.drain_events(timeout=0.05)
            except TimeoutError:
                break
    channel.close()
    return seen


def publish(connection: Connection, body: Any, message_id: str | None = "same") -> None:
    properties = {} if message_id is None else {"message_id": message_id}
    connection.Producer().publish(body, routing_key="q", **properties)


def test_a_copy_is_dropped_and_acknowledged(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kombu.middleware.dedup")
    publish(connection, 1)
    publish(connection, 2)
    publish(connection, 3, "other")
    assert drain(connection, lambda message: message.ack()) == [1, 3]
    assert drain(connection, lambda message: message.ack()) == []
    (record,) = caplog.records
    assert vars(record)["kombu_queue"] == "q"
    assert vars(record)["kombu_message_id"] == "same"


def test_the_window_ends(connection: Connection, clock: Clock) -> None:
    publish(connection, 1)
    assert drain(connection, lambda message: message.ack()) == [1]
    clock.now += 59
    publish(connection, 2)
    assert drain(connection, lambda message: message.ack()) == []
    clock.now += 61
    publish(connection, 3)
    assert drain(connection, lambda message: message.ack()) == [3]


@pytest.mark.parametrize("policy", ["requeue-on-error", "manual"])
def test_what_was_not_handled_is_delivered_again(connection: Connection, policy: str) -> None:
    publish(connection, 1)
    failures = [LookupError("once")]

    def fail_once(message: Any) -> None:
        if failures:
            raise failures.pop()
        if policy == "manual":
            message.ack()

    if policy == "manual":
        with pytest.raises(LookupError):
            drain(connection, fail_once, failure_policy=policy)
        connection.release()  # as a consumer does that dies
        connection.connect()
        assert drain(connection, fail_once, failure_policy=policy) == [1]
    else:
        assert drain(connection, fail_once, failure_policy=policy) == [1, 1]


def test_each_queue_gets_its_copy(connection: Connection) -> None:
    channel = connection.channel()
    for name in ("a", "b"):
        channel.exchange_declare("all", "fanout")
        channel.queue_declare(name)
        channel.queue_bind(name, "all", "")
    connection.Producer().publish("x", exchange="all", message_id="same")
    for name in ("a", "b"):
        message = Queue(name)(channel).get()
        assert message.payload == "x"
        message.ack()


def test_messages_without_id(connection: Connection) -> None:
    connection.middleware.remove(next(iter(connection.middleware)))
    connection.middleware.add(Deduplicate(stamp=False))
    publish(connection, 1, None)
    publish(connection, 1, None)
    assert drain(connection, lambda message: message.ack()) == [1, 1]


def test_ids_are_given(connection: Connection) -> None:
    publish(connection, 1, None)
    publish(connection, 2, None)
    queue = Queue("q")(connection.channel())
    first, second = queue.get(), queue.get()
    assert first.properties["message_id"] != second.properties["message_id"]


def test_without_acknowledgement(connection: Connection) -> None:
    publish(connection, 1)
    publish(connection, 2)
    assert drain(connection, lambda message: None, no_ack=True) == [1]


def test_asked_for(connection: Connection) -> None:
    queue = Queue("q")(connection.channel())
    publish(connection, 1)
    publish(connection, 2)
    publish(connection, 3, "other")
    queue.get().ack()
    message = queue.get()
    assert message.payload == 3
    message.ack()
    assert queue.get() is None


def test_a_retry_of_its_handling_is_no_copy(connection: Connection) -> None:
    connection.middleware.add(Retry(max_attempts=3, delay=0))
    publish(connection, 1)
    failures = [LookupError("once"), LookupError("twice")]

    def fail_twice(message: Any) -> None:
        if failures:
            raise failures.pop()
        message.ack()

    assert drain(connection, fail_twice) == [1, 1, 1]


def test_memory_is_bounded() -> None:
    clock = Clock()
    store = MemorySeen(max_size=3, clock=clock)
    for number in range(5):
        store.add(str(number), 10)
    assert len(store) == 3
    assert [store.seen(str(number)) for number in range(5)] == [False, False, True, True, True]
    clock.now += 11
    store.add("new", 10)
    assert len(store) == 1


def test_a_store_of_ones_own() -> None:
    class Store:
        def __init__(self) -> None:
            self.keys: dict[str, float] = {}

        def seen(self, key: str) -> bool:
            return key in self.keys

        def add(self, key: str, window: float) -> None:
            self.keys[key] = window

    store = Store()
    with Connection("memory://", middleware=[Deduplicate(window=5, store=store)]) as connection:
        publish(connection, 1)
        Queue("q")(connection.channel()).get().ack()
    assert list(store.keys.values()) == [5]
