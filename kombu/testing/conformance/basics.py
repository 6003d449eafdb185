"""Declare, publish, get, settle, count, purge, delete."""

from __future__ import annotations

from typing import Any

import pytest

from kombu.testing.conformance.base import Conformance, code_of
from kombu.testing.conformance.harness import Harness, Inbox
from kombu.testing.conformance.selection import requires


class Basics(Conformance):
    """What no transport can do without."""

    def test_publish_and_get(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, {"hello": "world"})
        message = harness.get(queue)
        assert message.payload == {"hello": "world"}
        message.ack()
        harness.nothing_in(queue)

    def test_get_from_empty_queue(self, queue: Any) -> None:
        assert queue.get() is None

    def test_consume_and_ack(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        inbox = Inbox(channel, queue, ack=True)
        harness.put(channel, queue, "one", "two", "three")
        harness.until(inbox.has(3), connection)
        assert sorted(inbox.payloads) == ["one", "three", "two"]
        inbox.cancel()
        channel.close()
        assert harness.size(queue(connection.channel())) == 0

    def test_messages_published_before_the_consumer(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(5))
        inbox = Inbox(channel, queue, ack=True)
        harness.until(inbox.has(5), connection)
        assert sorted(inbox.payloads) == list(range(5))

    def test_no_ack(self, harness: Harness, connection: Any, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, "one", "two")
        inbox = Inbox(channel, queue, no_ack=True)
        harness.until(inbox.has(2), connection)
        channel.close()
        harness.nothing_in(queue(connection.channel()))

    def test_get_no_ack(self, harness: Harness, connection: Any, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, "one")
        assert harness.get(queue, no_ack=True).payload == "one"
        channel.close()
        harness.nothing_in(queue(connection.channel()))

    def test_reject_drops(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, "refused")
        harness.get(queue).reject()
        channel.close()
        harness.nothing_in(queue(connection.channel()))

    def test_requeue_gives_it_back_redelivered(
        self, harness: Harness, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, "again")
        first = harness.get(queue)
        assert not first.delivery_info.get("redelivered")
        first.requeue()
        second = harness.get(queue)
        assert second.payload == "again"
        assert second.delivery_info.get("redelivered")
        second.ack()

    def test_unacked_is_not_ready(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, "held")
        message = harness.get(queue)
        assert harness.size(queue) == 0
        harness.nothing_in(queue)
        message.ack()

    def test_size(self, harness: Harness, channel: Any, queue: Any) -> None:
        assert harness.size(queue) == 0
        harness.put(channel, queue, *range(3))
        harness.has_size(queue, 3)

    def test_purge(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, *range(4))
        harness.has_size(queue, 4)
        assert queue.purge() == 4
        assert harness.size(queue) == 0

    @requires("purge_spares_held")
    def test_purge_leaves_the_unacked(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, "held", "dropped")
        message = harness.get(queue)
        harness.has_size(queue, 1)
        assert queue.purge() == 1
        message.requeue()
        assert harness.take(queue, 1) == [message.payload]

    def test_delete(self, harness: Harness, connection: Any, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, "gone")
        harness.has_size(queue, 1)
        queue.delete()
        with pytest.raises(connection.channel_errors):
            queue(connection.channel()).queue_declare(passive=True)

    def test_deleted_and_declared_again_is_empty(
        self, harness: Harness, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, "old")
        harness.has_size(queue, 1)
        queue.delete()
        queue.declare()
        assert harness.size(queue) == 0
        harness.put(channel, queue, "new")
        assert harness.take(queue, 1) == ["new"]

    def test_delete_of_a_queue_that_is_not_there(self, harness: Harness, channel: Any) -> None:
        harness.named_queue(harness.name())(channel).delete()
        channel.basic_qos(0, 1, False)

    def test_passive_declare_of_an_empty_queue(self, harness: Harness, queue: Any) -> None:
        assert harness.size(queue) == 0

    def test_passive_declare_of_an_unknown_queue(
        self, harness: Harness, connection: Any, channel: Any
    ) -> None:
        with pytest.raises(connection.channel_errors) as caught:
            harness.named_queue(harness.name())(channel).queue_declare(passive=True)
        assert code_of(caught.value) == 404

    def test_declare_twice_keeps_messages(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, "kept")
        queue.declare()
        assert harness.take(queue, 1) == ["kept"]

    def test_a_name_given_by_the_server(self, harness: Harness, channel: Any) -> None:
        one, two = (channel.queue_declare(queue="", exclusive=True) for _ in range(2))
        assert one[0] and two[0] and one[0] != two[0]

    def test_queues_are_apart(self, harness: Harness, channel: Any, queue: Any) -> None:
        other = harness.queue(channel)
        harness.put(channel, queue, "here")
        harness.put(channel, other, "there")
        assert harness.take(other, 1) == ["there"]
        assert harness.take(queue, 1) == ["here"]

    def test_two_queues_one_consumer(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        other = harness.queue(channel)
        inbox = Inbox(channel, queue, other, ack=True)
        harness.put(channel, queue, "a")
        harness.put(channel, other, "b")
        harness.until(inbox.has(2), connection)
        assert sorted(inbox.payloads) == ["a", "b"]

    def test_cancelled_consumer_gets_no_more(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        inbox = Inbox(channel, queue, ack=True)
        harness.put(channel, queue, "first")
        harness.until(inbox.has(1), connection)
        inbox.cancel()
        harness.put(channel, queue, "second")
        harness.has_size(queue, 1)
        assert inbox.payloads == ["first"]
        assert harness.take(queue, 1) == ["second"]

    def test_unacked_of_a_cancelled_consumer_can_be_acked(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        inbox = Inbox(channel, queue)
        harness.put(channel, queue, "held")
        harness.until(inbox.has(1), connection)
        inbox.cancel()
        inbox.messages[0].ack()
        channel.close()
        harness.nothing_in(queue(connection.channel()))

    @requires("unicode_names")
    def test_unicode_names(self, harness: Harness, channel: Any) -> None:
        queue = harness.named_queue(harness.name("größe-队列-очередь"))(channel)
        queue.declare()
        harness.put(channel, queue, "found")
        assert harness.take(queue, 1) == ["found"]

    def test_large_body(self, harness: Harness, channel: Any, queue: Any) -> None:
        body = "0123456789abcdef" * 8192
        harness.put(channel, queue, body)
        assert harness.take(queue, 1) == [body]

    def test_delivery_info(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, "where")
        message = harness.get(queue)
        assert message.delivery_info["exchange"] == ""
        assert message.delivery_info["routing_key"] == queue.name
        message.ack()
