"""Hooks, failure policies, retry and deduplication on brokers of both kinds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from kombu import Connection, Queue
from kombu.middleware import Deduplicate, Middleware, Retry
from t.services.pool import Servers

BROKERS = [
    pytest.param("rabbitmq", marks=pytest.mark.server("rabbitmq")),
    pytest.param("redis", marks=pytest.mark.server("redis")),
    "memory",
]


class Broker:
    """A queue that dead-letters, and ways to fill and empty it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.name = f"t-{uuid4().hex[:12]}"
        channel = connection.channel()
        self.dead = Queue(f"{self.name}.dead")(channel)
        self.dead.declare()
        arguments = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.dead.name,
        }
        self.queue = Queue(self.name, queue_arguments=arguments)(channel)
        self.queue.declare()

    def publish(self, *bodies: Any, **options: Any) -> None:
        producer = self.connection.Producer()
        for body in bodies:
            producer.publish(body, routing_key=self.name, serializer="json", **options)

    def consume(
        self, handle: Callable[[Any], Any], done: Callable[[], bool], **options: Any
    ) -> None:
        """Deliver until ``done``."""
        options.setdefault("callbacks", [lambda body, message: handle(message)])
        options.setdefault("prefetch_count", 1)
        channel = self.connection.channel()
        deadline = time.monotonic() + 30
        try:
            with self.connection.Consumer(self.queue, channel, **options):
                while not done():
                    assert time.monotonic() < deadline
                    try:
                        self.connection.drain_events(timeout=0.2)
                    except TimeoutError:
                        continue
        finally:
            channel.close()

    def take(self, queue: Queue, timeout: float = 5) -> Any:
        """A message that comes within that time; acknowledged."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            message = queue.get()
            if message is not None:
                message.ack()
                return message
            time.sleep(0.02)
        return None

    def fate(self) -> str:
        """Where the message is that was handled."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            for queue, fate in ((self.queue, "there"), (self.dead, "dead")):
                if self.take(queue, 0.001) is not None:
                    return fate
            if self.connection.channel().queue_declare(self.name, passive=True)[1] == 0:
                break
        return "gone"


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Broker]:
    kind = request.param
    url = "memory://middleware" if kind == "memory" else servers.env(kind)[f"{kind.upper()}_URL"]
    with Connection(url) as connection:
        broker = Broker(connection)
        yield broker
        broker.queue.delete()
        broker.dead.delete()


@pytest.mark.parametrize(
    ("policy", "raised", "undecodable"),
    [
        ("ack-first", "gone", "gone"),
        ("ack", "gone", "dead"),
        ("reject-on-error", "dead", "dead"),
        ("requeue-on-error", "there", "dead"),
    ],
)
def test_failure_policies(broker: Broker, policy: str, raised: str, undecodable: str) -> None:
    calls: list[Any] = []

    def note(message: Any) -> None:
        calls.append(message)

    def fail(message: Any) -> None:
        calls.append(message)
        raise LookupError("x")

    broker.publish("handled")
    broker.consume(note, lambda: bool(calls), failure_policy=policy)
    assert broker.fate() == "gone"

    calls.clear()
    broker.publish("fails")
    broker.consume(fail, lambda: bool(calls), failure_policy=policy)
    assert broker.fate() == raised

    delivered: list[Any] = []

    class Look(Middleware):
        def on_deliver(self, delivery: Any, proceed: Any) -> Any:
            delivered.append(delivery)
            return proceed(delivery)

    look = Look()
    broker.connection.middleware.add(look)
    broker.publish("undecodable")
    broker.consume(
        note, lambda: bool(delivered), failure_policy=policy, accept=["application/x-nothing"]
    )
    broker.connection.middleware.remove(look)
    assert broker.fate() == undecodable


def test_what_the_handler_settled_stays_so(broker: Broker) -> None:
    calls: list[Any] = []

    def reject_and_fail(message: Any) -> None:
        calls.append(message)
        message.reject()
        raise LookupError("x")

    broker.publish("x")
    broker.consume(reject_and_fail, lambda: bool(calls), failure_policy="requeue-on-error")
    assert broker.fate() == "dead"


@pytest.mark.parametrize("policy", ["ack-first", "ack", "reject-on-error", "requeue-on-error"])
def test_without_acknowledgement(broker: Broker, policy: str) -> None:
    calls: list[Any] = []

    def fail(message: Any) -> None:
        calls.append(message)
        raise LookupError("x")

    broker.publish("x", "y")
    broker.consume(fail, lambda: len(calls) == 2, failure_policy=policy, no_ack=True)
    assert broker.fate() == "gone"


def test_retry_comes_later_and_is_given_up(broker: Broker) -> None:
    broker.connection.middleware.add(Retry(max_attempts=3, delay=0.3, factor=2, jitter=0))
    seen: list[tuple[float, Any]] = []

    def fail(message: Any) -> None:
        assert message.payload == {"n": "é"}
        assert message.headers["own"] == "header"
        seen.append((time.monotonic(), message.headers.get("x-kombu-attempts")))
        raise LookupError("x")

    broker.publish({"n": "é"}, headers={"own": "header"}, correlation_id="c")
    broker.consume(fail, lambda: len(seen) == 3)
    assert [attempts for _, attempts in seen] == [None, 1, 2]
    assert seen[1][0] - seen[0][0] >= 0.3
    assert seen[2][0] - seen[1][0] >= 0.6
    dead = broker.take(broker.dead)
    assert dead.payload == {"n": "é"}
    assert dead.properties["correlation_id"] == "c"
    assert broker.fate() == "gone"


def test_many_failures_at_once_lose_nothing(broker: Broker) -> None:
    """Each of a window fails once: no message is lost, none handled within another's handling."""
    broker.connection.middleware.add(Retry(max_attempts=2, delay=0.1, jitter=0))
    count, failed, handled = 300, set(), set()
    depth = 0

    def fail_first(message: Any) -> None:
        nonlocal depth
        depth += 1
        try:
            assert depth == 1
            number = message.payload
            if number not in failed:
                failed.add(number)
                raise LookupError(number)
            handled.add(number)
            message.ack()
        finally:
            depth -= 1

    broker.publish(*range(count))
    broker.consume(fail_first, lambda: len(handled) == count, prefetch_count=100)
    assert handled == set(range(count))
    assert broker.fate() == "gone"


def test_duplicates(broker: Broker) -> None:
    broker.connection.middleware.add(Deduplicate())
    seen: list[Any] = []

    def handle(message: Any) -> None:
        seen.append(message.payload)
        message.ack()

    broker.publish(1, 2, message_id="same")
    broker.publish(3, message_id="other")
    broker.consume(handle, lambda: 3 in seen)
    assert seen == [1, 3]
    assert broker.fate() == "gone"
