"""Mandatory returns, confirms, batches, priority, what can not be published."""

from __future__ import annotations

from typing import Any

import pytest

from kombu.exceptions import EncodeError
from kombu.testing.conformance.base import Conformance
from kombu.testing.conformance.harness import Harness
from kombu.testing.conformance.selection import requires, unless


class Publishing(Conformance):
    """Publishing as such."""

    def test_a_body_that_can_not_be_serialized(
        self, harness: Harness, channel: Any, queue: Any
    ) -> None:
        with pytest.raises((EncodeError, TypeError)):
            harness.put(channel, queue, object())
        harness.put(channel, queue, "still works")
        assert harness.take(queue, 1) == ["still works"]

    def test_two_producers_on_one_channel(self, harness: Harness, channel: Any, queue: Any) -> None:
        one, two = channel.Producer(), channel.Producer()
        one.publish("a", routing_key=queue.name)
        two.publish("b", routing_key=queue.name)
        assert sorted(harness.take(queue, 2)) == ["a", "b"]

    def test_declare_option_of_publish(self, harness: Harness, channel: Any) -> None:
        exchange = harness.named_exchange(harness.name("late"), "direct")
        queue = harness.named_queue(harness.name("late"), exchange, routing_key="k")
        channel.Producer().publish("x", exchange=exchange, routing_key="k", declare=[queue])
        assert harness.take(queue(channel), 1) == ["x"]

    def test_many_messages(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, *range(self.many))
        assert sorted(harness.take(queue, self.many)) == list(range(self.many))

    def test_published_is_visible_to_other_connections(
        self, harness: Harness, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, "seen")
        assert harness.take(queue(harness.connection().channel()), 1) == ["seen"]


@requires("mandatory")
class Mandatory(Conformance):
    """``mandatory``: what no queue takes comes back (AMQP ``basic.return``)."""

    def test_unroutable_is_returned(self, harness: Harness, connection: Any, channel: Any) -> None:
        returned: list[Any] = []
        exchange = harness.exchange(channel, "direct")
        producer = channel.Producer(exchange, on_return=lambda *args: returned.append(args))
        producer.publish("back", routing_key="nowhere", mandatory=True)
        harness.until(lambda: returned, connection)
        _error, name, key, message = returned[0]
        assert (name, key) == (exchange.name, "nowhere")
        body = message.body if hasattr(message, "body") else message["body"]
        assert b"back" in (body if isinstance(body, bytes) else body.encode())

    def test_routable_is_not_returned(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        returned: list[Any] = []
        producer = channel.Producer(on_return=lambda *args: returned.append(args))
        producer.publish("there", exchange="", routing_key=queue.name, mandatory=True)
        assert harness.take(queue, 1) == ["there"]
        harness.silence(connection)
        assert returned == []

    def test_not_mandatory_is_not_returned(
        self, harness: Harness, connection: Any, channel: Any
    ) -> None:
        returned: list[Any] = []
        exchange = harness.exchange(channel, "direct")
        producer = channel.Producer(exchange, on_return=lambda *args: returned.append(args))
        producer.publish("gone", routing_key="nowhere")
        harness.silence(connection)
        assert returned == []


@requires("confirms")
class Confirms(Conformance):
    """A publish that returned is safe: another connection finds the message at once."""

    def test_published_means_arrived(self, harness: Harness, queue: Any) -> None:
        connection = (
            harness.connection(confirm_publish=True) if _amqp(harness) else (harness.connection())
        )
        channel = connection.channel()
        for number in range(20):
            harness.put(channel, queue, number)
            message = queue.get()
            assert message is not None
            assert message.payload == number
            message.ack()


def _amqp(harness: Harness) -> bool:
    """Whether the transport has AMQP's option for confirms."""
    return harness.url.split(":")[0] in ("amqp", "amqps", "pyamqp", "librabbitmq")


@requires("batch_publish")
class Batches(Conformance):
    """``Producer.batch()``: many messages, few round trips."""

    def test_batch_arrives_in_order(self, harness: Harness, channel: Any, queue: Any) -> None:
        producer = channel.Producer()
        with producer.batch():
            for number in range(self.many):
                producer.publish(number, exchange="", routing_key=queue.name)
        harness.has_size(queue, self.many)
        payloads = harness.take(queue, self.many)
        assert sorted(payloads) == list(range(self.many))
        if self.declared.ordered:
            assert payloads == list(range(self.many))

    def test_batch_to_several_queues(self, harness: Harness, channel: Any, queue: Any) -> None:
        exchange = harness.exchange(channel, "direct")
        keyed = harness.queue(channel, exchange, routing_key="k")
        producer = channel.Producer()
        with producer.batch():
            producer.publish("a", exchange="", routing_key=queue.name)
            producer.publish("b", exchange=exchange, routing_key="k")
        assert harness.take(queue, 1) == ["a"]
        assert harness.take(keyed, 1) == ["b"]

    def test_batch_larger_than_its_size(self, harness: Harness, channel: Any, queue: Any) -> None:
        producer = channel.Producer()
        with producer.batch(max_size=10):
            for number in range(35):
                producer.publish(number, exchange="", routing_key=queue.name)
        harness.has_size(queue, 35)


@requires("priority")
class Priority(Conformance):
    """Messages of more weight first; equal ones in order."""

    @pytest.fixture
    def weighted(self, harness: Harness, channel: Any) -> Any:
        return harness.queue(channel, max_priority=10)

    def test_priority(self, harness: Harness, channel: Any, weighted: Any) -> None:
        for priority in (0, 9, 3):
            harness.put(channel, weighted, priority, priority=priority)
        harness.has_size(weighted, 3)
        payloads = harness.take(weighted, 3)
        # Where the published storage format has 0 as the most urgent, that stands.
        assert payloads in ([9, 3, 0], [0, 3, 9])

    @requires("ordered")
    def test_equal_priority_in_order(self, harness: Harness, channel: Any, weighted: Any) -> None:
        harness.put(channel, weighted, *range(10), priority=3)
        harness.has_size(weighted, 10)
        assert harness.take(weighted, 10) == list(range(10))

    def test_requeued_keeps_its_priority(
        self, harness: Harness, channel: Any, weighted: Any
    ) -> None:
        for priority in (0, 9):
            harness.put(channel, weighted, priority, priority=priority)
        harness.has_size(weighted, 2)
        first = harness.get(weighted)
        first.requeue()
        assert harness.take(weighted, 1) == [first.payload]

    def test_message_without_priority_arrives(
        self, harness: Harness, channel: Any, weighted: Any
    ) -> None:
        harness.put(channel, weighted, "plain")
        assert harness.take(weighted, 1) == ["plain"]


@unless("mandatory")
class NotMandatory(Conformance):
    """Where nothing can be returned, ``mandatory`` is not taken in silence."""

    def test_mandatory_is_refused_or_warned_about(self, harness: Harness) -> None:
        connection = harness.connection()
        channel = connection.channel()
        exchange = harness.exchange(channel, "direct")
        try:
            with pytest.warns(Warning):
                channel.Producer(exchange).publish("x", routing_key="nowhere", mandatory=True)
        except connection.channel_errors:
            pass
