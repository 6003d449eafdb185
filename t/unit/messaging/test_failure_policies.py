"""What becomes of a message, by policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kombu import Connection, Queue
from kombu.exceptions import ContentDisallowed

POLICIES = ("ack-first", "ack", "reject-on-error", "requeue-on-error")


class Broker:
    """A queue with a dead letter queue, and what became of a message of it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        channel = connection.channel()
        self.dead = Queue("dead")(channel)
        self.dead.declare()
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        self.queue = Queue("q", queue_arguments=arguments)(channel)
        self.queue.declare()

    def consume(self, policy: str | None, handle: Any, body: Any = "x", **options: Any) -> str:
        self.connection.Producer().publish(body, routing_key="q", serializer="json")
        options.setdefault("callbacks", [handle])
        channel = self.connection.channel()
        try:
            consumer = self.connection.Consumer(
                self.queue, channel, prefetch_count=1, failure_policy=policy, **options
            )
            with consumer:
                self.connection.drain_events(timeout=5)
        finally:
            channel.close()
        return self.fate()

    def fate(self) -> str:
        message = self.queue.get()
        if message is not None:
            message.ack()
            return "there"
        message = self.dead.get()
        if message is not None:
            message.ack()
            return "dead"
        return "gone"


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    with Connection("memory://", virtual_host=request.node.name) as connection:
        yield Broker(connection)


def succeed(body: Any, message: Any) -> None:
    """A handler that leaves settling to the policy."""


def fail(body: Any, message: Any) -> None:
    raise LookupError(body)


@pytest.mark.parametrize("policy", POLICIES)
def test_handled(broker: Broker, policy: str) -> None:
    assert broker.consume(policy, succeed) == "gone"


@pytest.mark.parametrize(
    ("policy", "fate", "words"),
    [
        ("ack-first", "gone", "acknowledged before"),
        ("ack", "gone", "acknowledged"),
        ("reject-on-error", "dead", "rejected"),
        ("requeue-on-error", "there", "requeued"),
    ],
)
def test_the_handler_raises(
    broker: Broker, policy: str, fate: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert broker.consume(policy, fail) == fate
    (record,) = [each for each in caplog.records if each.name == "kombu.messaging.failure"]
    assert record.levelname == "ERROR"
    assert f"failed ({words}): LookupError('x')" in record.getMessage()
    assert record.exc_info is not None
    assert vars(record)["kombu_queue"] == "q"
    assert vars(record)["kombu_transport"] == "memory"


@pytest.mark.parametrize("policy", POLICIES)
def test_undecodable(broker: Broker, policy: str) -> None:
    fate = "gone" if policy == "ack-first" else "dead"
    assert broker.consume(policy, succeed, accept=["pickle"]) == fate


@pytest.mark.parametrize("policy", POLICIES)
def test_a_handler_of_what_is_undecodable_has_its_say(broker: Broker, policy: str) -> None:
    seen = []

    def note(message: Any, exc: BaseException) -> None:
        seen.append(type(exc))

    assert broker.consume(policy, succeed, accept=["pickle"], on_decode_error=note) == "gone"
    assert seen == [ContentDisallowed]


@pytest.mark.parametrize("policy", POLICIES[1:])
@pytest.mark.parametrize("raises", [False, True])
def test_what_the_handler_settled_stays_so(broker: Broker, policy: str, raises: bool) -> None:
    def settle(body: Any, message: Any) -> None:
        message.reject()
        if raises:
            raise LookupError(body)

    assert broker.consume(policy, settle) == "dead"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("handle", [succeed, fail])
def test_without_acknowledgement_nothing_is_settled(
    broker: Broker, policy: str, handle: Any
) -> None:
    assert broker.consume(policy, handle, no_ack=True) == "gone"


@pytest.mark.parametrize("policy", POLICIES[1:])
def test_the_end_of_the_process_leaves_the_message(broker: Broker, policy: str) -> None:
    def stop(body: Any, message: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broker.consume(policy, stop)
    assert broker.fate() == "there"


@pytest.mark.parametrize("policy", POLICIES)
def test_on_message_is_a_handler_too(broker: Broker, policy: str) -> None:
    def fail_with(message: Any) -> None:
        raise LookupError(message.payload)

    fate = {"reject-on-error": "dead", "requeue-on-error": "there"}.get(policy, "gone")
    assert broker.consume(policy, None, on_message=fail_with) == fate


def test_manual_is_the_default_and_as_ever(broker: Broker) -> None:
    assert broker.consume(None, succeed) == "there"
    with pytest.raises(LookupError):
        broker.consume("manual", fail)
    assert broker.fate() == "there"
    with pytest.raises(ContentDisallowed):
        broker.consume(None, succeed, accept=["pickle"])


def test_an_unknown_policy_is_named(broker: Broker) -> None:
    with pytest.raises(ValueError, match=r"'nack': one of manual, ack-first, ack, reject-on-error"):
        broker.connection.Consumer(broker.queue, failure_policy="nack")
