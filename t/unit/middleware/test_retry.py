"""Retry of handling: later each time, counted, given up in the end, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from amqp.exceptions import MessageNacked

from kombu import Connection, Queue
from kombu.exceptions import ContentDisallowed
from kombu.middleware import Middleware, Retry

DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.fixture
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    with Connection("memory://", virtual_host=request.node.name) as connection:
        Queue("dead")(connection.channel()).declare()
        yield connection


def drain(connection: Connection, handle: Any, **options: Any) -> None:
    """Consume until there is nothing for a while."""
    options.setdefault("callbacks", [lambda body, message: handle(message)])
    channel = connection.channel()
    try:
        with connection.Consumer(Queue("q", queue_arguments=DEAD), channel, **options):
            while True:
                try:
                    connection.drain_events(timeout=0.3)
                except TimeoutError:
                    break
    finally:
        channel.close()


def test_attempts_are_counted_and_come_later(connection: Connection) -> None:
    connection.middleware.add(Retry(max_attempts=4, delay=0.04, factor=2, jitter=0))
    connection.Producer().publish({"n": 1}, routing_key="q", headers={"own": "header"})
    seen: list[tuple[float, Any]] = []

    def fail_twice(message: Any) -> None:
        seen.append((time.monotonic(), message.headers.get("x-kombu-attempts")))
        assert message.payload == {"n": 1}
        assert message.headers["own"] == "header"
        if len(seen) < 3:
            raise LookupError("not yet")
        message.ack()

    drain(connection, fail_twice)
    assert [attempts for _, attempts in seen] == [None, 1, 2]
    assert seen[1][0] - seen[0][0] >= 0.04
    assert seen[2][0] - seen[1][0] >= 0.08
    assert Queue("q")(connection.channel()).get() is None
    assert Queue("dead")(connection.channel()).get() is None


def test_the_last_attempt_is_followed_by_a_dead_letter(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    connection.middleware.add(Retry(max_attempts=3, delay=0))
    connection.Producer().publish("x", routing_key="q")
    calls = []

    def fail(message: Any) -> None:
        calls.append(message)
        raise LookupError("never")

    drain(connection, fail)
    assert len(calls) == 3
    dead = Queue("dead")(connection.channel()).get()
    assert dead.payload == "x"
    assert dead.headers["x-kombu-attempts"] == 2
    assert dead.headers["x-death"][0]["reason"] == "rejected"
    fates = [(each.levelname, vars(each)["kombu_reason"]) for each in caplog.records]
    assert fates == [("WARNING", "retry"), ("WARNING", "retry"), ("ERROR", "given up")]


def test_some_errors_are_given_up_at_once_and_others_go_on(connection: Connection) -> None:
    connection.middleware.add(Retry(retry_on=(LookupError,), give_up_on=(KeyError,), delay=0))
    connection.Producer().publish("x", routing_key="q")

    def missing(message: Any) -> None:
        raise KeyError("x")

    drain(connection, missing)
    Queue("dead")(connection.channel()).get().ack()

    def wrong(message: Any) -> None:
        raise ValueError("x")

    connection.Producer().publish("x", routing_key="q")
    with pytest.raises(ValueError, match="x"):
        drain(connection, wrong)
    assert Queue("q")(connection.channel()).get() is not None


def test_what_cannot_be_decoded_is_not_tried_again(connection: Connection) -> None:
    connection.middleware.add(Retry(delay=0))
    connection.Producer().publish("x", routing_key="q")
    with pytest.raises(ContentDisallowed):
        drain(connection, print, accept=["pickle"])
    drain(connection, print, accept=["pickle"], failure_policy="requeue-on-error")
    assert Queue("dead")(connection.channel()).get() is not None


def test_what_the_handler_settled_is_left(connection: Connection) -> None:
    connection.middleware.add(Retry(delay=0))
    connection.Producer().publish("x", routing_key="q")

    def ack_and_fail(message: Any) -> None:
        message.ack()
        raise LookupError("too late")

    with pytest.raises(LookupError):
        drain(connection, ack_and_fail)
    assert Queue("q")(connection.channel()).get() is None


def test_bodies_properties_and_compression_are_kept(connection: Connection) -> None:
    connection.middleware.add(Retry(delay=0))
    body = {"text": "é" * 100}
    raw = b"\x00\xff raw"
    producer = connection.Producer()
    producer.publish(body, routing_key="q", compression="zlib", correlation_id="c", reply_to="r")
    producer.publish(raw, routing_key="q", content_type="application/data", priority=3)
    seen: list[Any] = []

    def fail_first(message: Any) -> None:
        if "x-kombu-attempts" not in message.headers:
            raise LookupError("once")
        seen.append(message)
        message.ack()

    drain(connection, fail_first, accept=["json", "application/data"])
    first, second = sorted(seen, key=lambda message: str(message.content_type), reverse=True)
    assert first.errors == []
    assert first.payload == body
    assert "compression" not in first.headers
    assert (first.properties["correlation_id"], first.properties["reply_to"]) == ("c", "r")
    assert second.payload == raw
    assert second.properties["priority"] == 3


def test_what_cannot_be_sent_back_is_not_acknowledged(connection: Connection) -> None:
    connection.middleware.add(Retry(delay=0))
    connection.Producer().publish("x", routing_key="q")
    full = [True]

    def fail(message: Any) -> None:
        if not full:
            message.ack()
            return
        full.clear()

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise ConnectionResetError("the broker is gone")

        message.channel.basic_publish = refuse
        raise LookupError("x")

    with pytest.raises(ConnectionResetError) as raised:
        drain(connection, fail)
    assert isinstance(raised.value.__context__, LookupError)
    assert Queue("q")(connection.channel()).get() is not None


def test_others_see_the_error_that_was_dealt_with(connection: Connection) -> None:
    found = []

    class Look(Middleware):
        def on_deliver(self, delivery: Any, proceed: Any) -> Any:
            proceed(delivery)
            found.append(delivery.error)

    connection.middleware.add(Look(), Retry(max_attempts=1))
    connection.Producer().publish("x", routing_key="q")

    def fail(message: Any) -> None:
        raise LookupError("x")

    drain(connection, fail)
    assert [type(each) for each in found] == [LookupError]


def test_delays() -> None:
    retry = Retry(delay=1, factor=3, max_delay=20)
    assert [retry.delay_after(attempts) for attempts in (1, 2, 3, 4, 500)] == [1, 3, 9, 20, 20]
    assert Retry(max_attempts=9999).delay_after(5000) == 300
    with pytest.raises(ValueError, match="max_attempts"):
        Retry(max_attempts=0)


def test_a_copy_that_its_full_queue_refuses_costs_no_message(connection: Connection) -> None:
    connection.middleware.add(Retry(delay=0, jitter=0))
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    queue = Queue("full", queue_arguments=full)
    producer = connection.Producer()

    def fail(body: Any, message: Any) -> None:
        producer.publish("second", routing_key="full")
        raise LookupError("x")

    channel = connection.channel()
    with connection.Consumer(queue, channel, callbacks=[fail]):
        producer.publish("first", routing_key="full")
        with pytest.raises(MessageNacked):
            connection.drain_events(timeout=1)
    channel.close()
    take = queue(connection.channel()).get
    assert [take(no_ack=True).payload for _ in range(2)] == ["first", "second"]
