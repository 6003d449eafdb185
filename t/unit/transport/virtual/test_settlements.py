"""Settlements that the backend does not take at once: nothing stays out, nothing waits for them."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from amqp.exceptions import ChannelError
from amqp.exceptions import ConnectionError as AMQPConnectionError

from kombu import Queue
from kombu.transport import memory
from t.unit.transport.virtual.leased import connect, store_of


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    client = connect(request.node.name)
    yield client
    store = client.transport.store
    if store is not None:
        store.failing = None
    client.release()
    memory.reset(request.node.name)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kombu.transport.virtual.settlement.LONGEST_PAUSE", 0.05)


def until(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def given(client: Any, name: str = "q", **options: Any) -> tuple[Any, Any]:
    """A queue, and its only message, received."""
    queue = Queue(name, **options)(client.default_channel)
    queue.declare()
    client.Producer().publish(0, routing_key=name)
    return queue, queue.get()


@pytest.mark.parametrize("verb", ["requeue", "reject"])
def test_what_could_not_be_given_back_is_given_back_later(client: Any, verb: str) -> None:
    dead = Queue("dead")(client.default_channel)
    dead.declare()
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    queue, message = given(client, queue_arguments=arguments)
    store = store_of(client)
    store.failing = AMQPConnectionError("away")
    with pytest.raises(AMQPConnectionError, match="away"):
        getattr(message, verb)()
    store.failing = None
    if verb == "requeue":
        until(lambda: queue.get(no_ack=True), "the message came back")
    else:
        until(lambda: store.settled and store.settled[-1][2] == 1, "the reject was settled")
        assert dead.get(no_ack=True).payload == 0


def test_what_is_refused_keeps_nothing_else_and_is_given_up(
    client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _, bad = given(client, "bad")
    good = [given(client, f"good{number}")[1] for number in range(3)]
    store = store_of(client)
    store.refused = {"bad"}
    for message in (bad, *good):
        with contextlib.suppress(ChannelError):
            message.ack()
    with caplog.at_level(logging.ERROR):
        until(lambda: sum(acks for acks, _, _ in store.settled) == 3, "the others were settled")
        until(lambda: "can't be settled" in caplog.text, "it was given up")
    assert "bad" in caplog.text
    given(client, "later")[1].ack()
    until(lambda: sum(acks for acks, _, _ in store.settled) == 4, "settling goes on")


def test_a_renewal_that_failed_is_made_again_long_before_the_lease_ends(client: Any) -> None:
    store = store_of(client)
    store.lease = 2.4
    store.renewals_to_fail = 1
    given(client)
    until(lambda: len(store.renewals) > 1, "renewed again")
    first, second, *_ = store.renewals
    assert second - first < 0.7  # the next in turn is due after 0.8 seconds


def test_a_consumer_that_cannot_be_cancelled_keeps_no_message_from_going_back(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(client)
    channel = client.default_channel
    Queue("gone", auto_delete=True)(channel).declare()
    consumer = client.Consumer([Queue("gone", auto_delete=True)], channel=channel)
    consumer.consume()
    store = store_of(client)

    def delete(queue: str) -> int:
        raise ChannelError("not now")

    monkeypatch.setattr(store, "delete", delete)
    with pytest.raises(ChannelError, match="not now"):
        channel.close()
    assert Queue("q")(client.channel()).get(no_ack=True).payload == 0


def test_a_channel_that_cannot_be_closed_keeps_no_connection_open(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(client)
    other = client.channel()
    Queue("other")(other).declare()
    client.Producer().publish(1, routing_key="other")
    held = Queue("other")(other).get()
    assert held.payload == 1
    transport, store = client.transport, store_of(client)
    closed: list[str] = []
    monkeypatch.setattr(store, "close", lambda: closed.append("store"))
    store.failing = AMQPConnectionError("away")
    with pytest.raises(AMQPConnectionError, match="away"):
        transport.close_connection(transport)
    assert closed == ["store"]
    assert other.closed
    assert store.tries == 1  # who can't be reached is not waited for once for each channel
