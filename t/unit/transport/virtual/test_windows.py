"""Claims in windows, gathered acknowledgements, leases."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pytest

from kombu import Consumer, Producer, Queue
from kombu.transport import memory
from t.unit.transport.virtual.leased import connect, store_of


@pytest.fixture
def client(request: Any) -> Any:
    client = connect(request.node.name)
    yield client
    client.close()
    memory.reset(request.node.name)


def fill(client: Any, count: int, queue: str = "q") -> None:
    producer = Producer(client)
    for number in range(count):
        producer.publish(number, routing_key=queue)


def consume(client: Any, queue: str = "q", **options: Any) -> tuple[Any, list[Any]]:
    got: list[Any] = []
    consumer = Consumer(client.channel(), [Queue(queue)], on_message=got.append, **options)
    consumer.consume()
    return consumer, got


def test_one_claim_fetches_a_window_and_one_drain_delivers_one(client: Any) -> None:
    fill(client, 5)
    _, got = consume(client, prefetch_count=4)
    store = store_of(client)
    for count in range(1, 5):
        client.drain_events(timeout=1)
        assert len(got) == count
    assert [asked for asked in store.claims_asked if asked[1] != 1] == [(("q",), 4)]
    with pytest.raises(TimeoutError):
        client.drain_events(timeout=0.05)
    assert [message.payload for message in got] == [0, 1, 2, 3]


def test_without_a_limit_the_window_is_the_stores(client: Any) -> None:
    fill(client, 12)
    _, got = consume(client)
    for _ in range(12):
        client.drain_events(timeout=1)
    assert store_of(client).claims_asked[0] == (("q",), 10)
    assert [message.payload for message in got] == list(range(12))


def test_acknowledgements_leave_together_before_the_next_claim(client: Any) -> None:
    fill(client, 20)
    _, got = consume(client, prefetch_count=10)
    store = store_of(client)
    for _ in range(20):
        client.drain_events(timeout=1)
        got[-1].ack()
    assert sum(acks for acks, _, _ in store.settled) == 20
    assert len(store.settled) <= 10


def test_an_acknowledgement_alone_is_sent_at_once_and_raises_there(client: Any) -> None:
    fill(client, 1)
    _, got = consume(client, prefetch_count=1)
    client.drain_events(timeout=1)
    store = store_of(client)
    store.failing = ConnectionResetError("gone")
    with pytest.raises(ConnectionResetError):
        got[0].ack()
    store.failing = None


def test_waiting_acknowledgements_do_not_wait_long(client: Any) -> None:
    fill(client, 5)
    _, got = consume(client, prefetch_count=5)
    client.drain_events(timeout=1)
    store = store_of(client)
    store.settled_event.clear()
    got[0].ack()
    assert store.settled_event.wait(1.0)
    assert store.settled[-1] == (1, 0, 0)


def test_cancelling_releases_what_was_not_delivered_in_order(client: Any) -> None:
    fill(client, 6)
    consumer, got = consume(client, prefetch_count=6)
    client.drain_events(timeout=1)
    consumer.cancel()
    other = Queue("q")(client.channel())
    assert [other.get(no_ack=True).payload for _ in range(5)] == [1, 2, 3, 4, 5]
    got[0].ack()


def test_less_credit_releases_what_is_too_much(client: Any) -> None:
    fill(client, 6)
    consumer, got = consume(client, prefetch_count=6)
    client.drain_events(timeout=1)
    consumer.qos(prefetch_count=3)
    other = Queue("q")(client.channel())
    assert [other.get(no_ack=True).payload for _ in range(3)] == [3, 4, 5]
    client.drain_events(timeout=1)
    client.drain_events(timeout=1)
    assert [message.payload for message in got] == [0, 1, 2]


def test_flow_off_gives_everything_back(client: Any) -> None:
    fill(client, 3)
    consumer, got = consume(client, prefetch_count=3)
    client.drain_events(timeout=1)
    consumer.channel.flow(False)
    with pytest.raises(TimeoutError):
        client.drain_events(timeout=0.05)
    assert Queue("q")(client.channel()).queue_declare(passive=True).message_count == 2
    consumer.channel.flow(True)
    client.drain_events(timeout=1)
    assert [message.payload for message in got] == [0, 1]


def test_held_messages_are_renewed_while_nobody_drains(client: Any) -> None:
    fill(client, 1)
    _, got = consume(client)
    client.drain_events(timeout=1)
    store = store_of(client)
    for _ in range(2):
        store.renewed.clear()
        assert store.renewed.wait(2.0)
    got[0].ack()


def test_what_is_held_after_an_idle_time_is_renewed(client: Any) -> None:
    fill(client, 2)
    store, keeper = store_of(client), client.transport.keeper
    for _ in range(2):  # the second when the thread sleeps, for nothing was held
        store.settled_event.clear()
        claims = store.claim(("q",), 1)
        keeper.hold(claims)
        store.renewed.clear()
        assert store.renewed.wait(5.0)
        keeper.ack(claims, now=False)
        assert store.settled_event.wait(5.0)
        store.renewed.clear()
        assert not store.renewed.wait(0.2)


def test_held_too_long_is_not_renewed_any_more(request: Any) -> None:
    client = connect(request.node.name, max_hold=0.1)
    fill(client, 1)
    _, got = consume(client)
    client.drain_events(timeout=1)
    store = store_of(client)
    deadline = time.monotonic() + 5
    while client.transport.keeper._held:
        assert time.monotonic() < deadline
        store.renewed.wait(0.05)
    store.renewed.clear()
    assert not store.renewed.wait(0.3)
    got[0].ack()
    client.close()


def test_an_ack_from_another_thread_lets_a_drain_without_credit_go_on(client: Any) -> None:
    fill(client, 2)
    _, got = consume(client, prefetch_count=1)
    client.drain_events(timeout=1)
    timer = threading.Timer(0.1, got[0].ack)
    timer.start()
    client.drain_events(timeout=5)
    timer.join()
    assert [message.payload for message in got] == [0, 1]


def test_several_queues_of_a_channel_are_claimed_in_one_go_and_served_in_turn(client: Any) -> None:
    for queue in ("a", "b"):
        fill(client, 3, queue)
    got: list[Any] = []
    channel = client.channel()
    Consumer(channel, [Queue("a"), Queue("b")], on_message=got.append, prefetch_count=8).consume()
    for _ in range(6):
        client.drain_events(timeout=1)
    assert store_of(client).claims_asked[0] == (("a", "b"), 8)
    assert [m.delivery_info["routing_key"] for m in got] == ["a", "b", "a", "b", "a", "b"]


def test_a_closed_connection_gives_back_inbox_and_held_in_order(client: Any, request: Any) -> None:
    fill(client, 6)
    other = connect(request.node.name)
    _, got = consume(other, prefetch_count=5)
    other.drain_events(timeout=1)
    other.drain_events(timeout=1)
    assert len(got) == 2
    other.close()
    queue = Queue("q")(client.channel())
    assert [queue.get(no_ack=True).payload for _ in range(6)] == list(range(6))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_child_settles_nothing_of_its_parents(client: Any) -> None:
    fill(client, 4)
    _, got = consume(client, prefetch_count=4)
    client.drain_events(timeout=1)
    keeper = client.transport.keeper
    pid = os.fork()
    if not pid:
        code = 1
        try:
            keeper.flush()
            keeper.hold(())
            code = 0 if not keeper._held and not keeper._acks else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert keeper._held
    got[0].ack()
