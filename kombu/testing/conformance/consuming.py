"""Prefetch limits and several consumers."""

from __future__ import annotations

from typing import Any

from kombu.testing.conformance.base import Conformance
from kombu.testing.conformance.harness import Harness, Inbox
from kombu.testing.conformance.selection import requires


class Prefetch(Conformance):
    """``basic.qos``: how much a consumer may hold unacknowledged."""

    def test_prefetch_limit(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(6))
        inbox = Inbox(channel, queue, prefetch=3)
        harness.until(inbox.has(3), connection)
        harness.silence(connection)
        assert len(inbox) == 3
        inbox.messages[0].ack()
        harness.until(inbox.has(4), connection)
        harness.silence(connection)
        assert len(inbox) == 4

    def test_reject_and_requeue_give_credit(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(3))
        inbox = Inbox(channel, queue, prefetch=1)
        harness.until(inbox.has(1), connection)
        inbox.messages[0].reject()
        harness.until(inbox.has(2), connection)
        inbox.messages[1].reject(requeue=True)
        harness.until(inbox.has(3), connection)

    def test_ack_of_several_gives_credit_for_all(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(8))
        inbox = Inbox(channel, queue, prefetch=4)
        harness.until(inbox.has(4), connection)
        inbox.messages[3].ack(multiple=True)
        harness.until(inbox.has(8), connection)

    def test_limit_of_a_consumer_is_its_own(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        other_channel, other_queue = connection.channel(), harness.queue(channel)
        for target in (queue, other_queue):
            harness.put(channel, target, *range(5))
        one = Inbox(channel, queue, prefetch=1)
        three = Inbox(other_channel, other_queue, prefetch=3)
        harness.until(lambda: one.has(1)() and three.has(3)(), connection)
        harness.silence(connection)
        assert (len(one), len(three)) == (1, 3)

    def test_limit_of_a_channel_is_shared(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        other = harness.queue(channel)
        for target in (queue, other):
            harness.put(channel, target, *range(5))
        inbox = Inbox(channel, queue, other, prefetch=3, per_channel=True)
        harness.until(inbox.has(3), connection)
        harness.silence(connection)
        assert len(inbox) == 3

    def test_get_is_not_limited(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(3))
        inbox = Inbox(channel, queue, prefetch=1)
        harness.until(inbox.has(1), connection)
        harness.get(queue).ack()

    def test_no_ack_is_not_limited(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(5))
        inbox = Inbox(channel, queue, prefetch=1, no_ack=True)
        harness.until(inbox.has(5), connection)

    def test_limit_raised_while_full(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(5))
        inbox = Inbox(channel, queue, prefetch=1, per_channel=True)
        harness.until(inbox.has(1), connection)
        inbox.consumer.qos(prefetch_count=3, apply_global=True)
        harness.until(inbox.has(3), connection)
        harness.silence(connection)
        assert len(inbox) == 3


class SeveralConsumers(Conformance):
    """Consumers of one queue share its messages, each its part, none twice."""

    COUNT = 40

    def shared(self, harness: Harness, one: Inbox, two: Inbox) -> None:
        connections = {id(c): c for c in (one.consumer.connection, two.consumer.connection)}
        harness.until(lambda: len(one) + len(two) >= self.COUNT, *connections.values())
        assert sorted(one.payloads + two.payloads) == list(range(self.COUNT))
        for inbox in (one, two):
            assert len(inbox) >= self.COUNT // 10, "one consumer was left without"

    def test_on_one_channel(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, *range(self.COUNT))
        one, two = (Inbox(channel, queue, prefetch=2, ack=True) for _ in range(2))
        self.shared(harness, one, two)

    def test_on_two_channels(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(self.COUNT))
        one = Inbox(channel, queue, prefetch=2, ack=True)
        two = Inbox(connection.channel(), queue, prefetch=2, ack=True)
        self.shared(harness, one, two)

    def test_on_two_connections(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, *range(self.COUNT))
        one = Inbox(channel, queue, prefetch=2, ack=True)
        two = Inbox(harness.connection().channel(), queue, prefetch=2, ack=True)
        self.shared(harness, one, two)

    @requires("shared")
    def test_in_two_processes(self, harness: Harness, channel: Any, queue: Any) -> None:
        processes = [
            harness.process("consume", queue.name, prefetch=2, ready=True) for _ in range(2)
        ]
        for process in processes:
            assert harness.lines(process, 1) == ["ready"]
        harness.put(channel, queue, *range(5))
        # Neither may hold more than two, so that each gets its part.
        taken = [number for process in processes for number in harness.lines(process, 2)]
        assert len(set(taken)) == 4
        harness.has_size(queue, 1)

    def test_full_consumer_leaves_the_rest_to_the_other(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        full = Inbox(channel, queue, prefetch=1)
        harness.put(channel, queue, "first")
        harness.until(full.has(1), connection)
        free = Inbox(connection.channel(), queue, prefetch=5, ack=True)
        harness.put(channel, queue, *range(8))
        harness.until(free.has(8), connection)
        assert len(full) == 1

    def test_one_cancels_the_other_goes_on(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        leaves = Inbox(channel, queue, ack=True)
        stays = Inbox(connection.channel(), queue, ack=True)
        leaves.cancel()
        harness.put(channel, queue, *range(5))
        harness.until(stays.has(5), connection)
        assert len(leaves) == 0

    def test_busy_queue_does_not_starve_another(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        rare = harness.queue(channel)
        publisher = harness.connection().channel()
        came: list[Any] = []

        def never_empty(message: Any) -> None:
            message.ack()
            harness.put(publisher, queue, 0)

        harness.put(channel, queue, *range(20))
        harness.put(channel, rare, "one")
        for source, receive in ((queue, never_empty), (rare, came.append)):
            consumer = channel.Consumer([source], on_message=receive, auto_declare=False)
            consumer.qos(prefetch_count=5)
            consumer.consume()
        harness.until(lambda: came, connection)
