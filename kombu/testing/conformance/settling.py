"""Acknowledge, reject, requeue, recover; order of what comes back; wrong tags."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from kombu.exceptions import MessageStateError
from kombu.testing.conformance.base import Conformance, code_of
from kombu.testing.conformance.harness import Harness, Inbox
from kombu.testing.conformance.selection import requires


class Settling(Conformance):
    """What becomes of deliveries."""

    def test_ack_of_several(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(5))
        inbox = Inbox(channel, queue)
        harness.until(inbox.has(5), connection)
        inbox.messages[2].ack(multiple=True)
        channel.close()
        rest = queue(connection.channel())
        harness.has_size(rest, 2)
        assert harness.take(rest, 2) == inbox.payloads[3:]

    def test_ack_of_all_with_tag_zero(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(3))
        inbox = Inbox(channel, queue)
        harness.until(inbox.has(3), connection)
        channel.basic_ack(0, multiple=True)
        channel.close()
        harness.nothing_in(queue(connection.channel()))

    def test_ack_out_of_order(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(3))
        inbox = Inbox(channel, queue)
        harness.until(inbox.has(3), connection)
        inbox.messages[2].ack()
        inbox.messages[0].ack()
        channel.close()
        rest = queue(connection.channel())
        assert harness.take(rest, 1) == [inbox.payloads[1]]
        harness.nothing_in(rest)

    def test_recover(self, harness: Harness, connection: Any, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, *range(3))
        inbox = Inbox(channel, queue)
        harness.until(inbox.has(3), connection)
        inbox.messages[0].ack()
        inbox.consumer.recover(requeue=True)
        harness.until(inbox.has(5), connection)
        harness.silence(connection)
        assert sorted(inbox.payloads[3:]) == sorted(inbox.payloads[1:3])
        assert all(m.delivery_info["redelivered"] for m in inbox.messages[3:])

    def test_channel_close_gives_back(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(4))
        inbox = Inbox(channel, queue)
        harness.until(inbox.has(4), connection)
        inbox.messages[1].ack()
        channel.close()
        rest = queue(connection.channel())
        harness.has_size(rest, 3)
        assert sorted(harness.take(rest, 3)) == sorted(
            p for i, p in enumerate(inbox.payloads) if i != 1
        )

    def test_connection_close_gives_back(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, "held")
        other = harness.connection()
        held = harness.get(queue(other.channel()))
        assert held.payload == "held"
        other.close()
        message = harness.get(queue)
        assert message.payload == "held"
        assert message.delivery_info["redelivered"]
        message.ack()

    @requires("ordered")
    def test_channel_close_gives_back_in_order_at_the_head(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(6))
        holder = connection.channel()
        inbox = Inbox(holder, queue, prefetch=4)
        harness.until(inbox.has(4), connection)
        holder.close()
        assert harness.take(queue, 6) == list(range(6))

    @requires("ordered")
    def test_requeue_puts_it_back_at_the_head(
        self, harness: Harness, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(4))
        first, second = harness.get(queue), harness.get(queue)
        first.requeue()
        second.requeue()
        assert harness.take(queue, 4) == list(range(4))

    @requires("ordered")
    def test_first_in_first_out(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, *range(50))
        assert harness.take(queue, 50) == list(range(50))

    @requires("ordered")
    def test_a_consumer_receives_in_order(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        inbox = Inbox(channel, queue, prefetch=7, ack=True)
        harness.put(channel, queue, *range(50))
        harness.until(inbox.has(50), connection)
        assert inbox.payloads == list(range(50))

    def test_settled_twice_is_a_mistake(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, "once", "other")
        message = harness.get(queue)
        message.ack()
        for settle in (message.ack, message.reject, message.requeue):
            with pytest.raises(MessageStateError):
                settle()
        assert harness.take(queue, 1) == ["other"]

    def test_unknown_tag_is_refused(self, harness: Harness) -> None:
        connection = harness.connection(strict=True)
        channel = connection.channel()
        queue = harness.queue(channel)
        with pytest.raises(connection.channel_errors) as caught:
            channel.basic_ack(4711)
            harness.size(queue)
        assert code_of(caught.value) == 406

    def test_a_tag_acked_twice_is_refused(self, harness: Harness) -> None:
        connection = harness.connection(strict=True)
        channel = connection.channel()
        queue = harness.queue(channel)
        harness.put(channel, queue, "once")
        tag = harness.get(queue).delivery_tag
        channel.basic_ack(tag)
        with pytest.raises(connection.channel_errors) as caught:
            channel.basic_ack(tag)
            harness.size(queue)
        assert code_of(caught.value) == 406

    @requires("drop_in")
    def test_unknown_tag_gives_no_credit(self, harness: Harness) -> None:
        connection = harness.connection(strict=False)
        channel = connection.channel()
        queue = harness.queue(channel)
        harness.put(channel, queue, *range(3))
        inbox = Inbox(channel, queue, prefetch=1)
        harness.until(inbox.has(1), connection)
        with pytest.warns(Warning):
            channel.basic_ack("no-such-tag")
        harness.silence(connection)
        assert len(inbox) == 1

    def test_ack_after_the_channel_was_closed(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, "late")
        message = harness.get(queue)
        channel.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                message.ack()
            except (*connection.channel_errors, *connection.connection_errors):
                pass
        assert harness.take(queue(connection.channel()), 1) == ["late"]

    def test_a_callback_that_raises_loses_nothing(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        seen: list[Any] = []

        def callback(message: Any) -> None:
            seen.append(message.payload)
            raise ZeroDivisionError

        harness.put(channel, queue, "one", "two")
        consumer = channel.Consumer([queue], on_message=callback, auto_declare=False)
        consumer.consume()
        with pytest.raises(ZeroDivisionError):
            harness.until(lambda: False, connection)
        assert seen
        channel.close()
        rest = queue(connection.channel())
        harness.has_size(rest, 2)
        assert sorted(harness.take(rest, 2)) == ["one", "two"]

    def test_a_body_that_can_not_be_decompressed_is_not_lost(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        message = channel.prepare_message(
            b"this is no gzip",
            headers={"compression": "application/x-gzip"},
            content_type="application/json",
            content_encoding="utf-8",
            properties={"delivery_mode": 2},
        )
        channel.basic_publish(message, exchange="", routing_key=queue.name)
        failures: list[BaseException] = []

        def callback(_body: Any, _message: Any) -> None:
            raise AssertionError("a corrupt body was handed on")

        consumer = channel.Consumer([queue], callbacks=[callback], auto_declare=False)
        consumer.on_decode_error = lambda _message, exc: failures.append(exc)
        consumer.consume()

        def failed() -> bool:
            return bool(failures)

        try:
            harness.until(failed, connection)
        except Exception as exc:  # noqa: BLE001 - any error will do, a lost message will not
            failures.append(exc)
        assert failures
        channel.close()
        harness.has_size(queue(connection.channel()), 1)
