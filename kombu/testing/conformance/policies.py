"""What queue arguments and message properties demand: time to live, limits, dead letters, delay."""

from __future__ import annotations

import time
from typing import Any

import pytest
from amqp.exceptions import MessageNacked

from kombu.testing.conformance.base import Conformance
from kombu.testing.conformance.harness import Harness, Inbox
from kombu.testing.conformance.selection import requires, unless


@requires("message_ttl")
class MessageTTL(Conformance):
    """``expiration`` of a message and ``x-message-ttl`` of a queue; the shorter one holds."""

    def test_expiration_of_a_message(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, "short", expiration=0.05)
        harness.put(channel, queue, "long", expiration=60)
        time.sleep(0.1)
        assert harness.take(queue, 1) == ["long"]
        harness.nothing_in(queue)

    def test_ttl_of_a_queue(self, harness: Harness, channel: Any) -> None:
        queue = harness.queue(channel, message_ttl=0.05)
        harness.put(channel, queue, "short")
        time.sleep(0.1)
        harness.nothing_in(queue)
        assert harness.size(queue) == 0

    def test_the_shorter_one_holds(self, harness: Harness, channel: Any) -> None:
        queue = harness.queue(channel, message_ttl=60)
        harness.put(channel, queue, "short", expiration=0.05)
        time.sleep(0.1)
        harness.nothing_in(queue)

    def test_what_was_delivered_does_not_expire(self, harness: Harness, channel: Any) -> None:
        queue = harness.queue(channel, message_ttl=0.5)
        harness.put(channel, queue, "held")
        message = harness.get(queue)
        time.sleep(0.55)
        message.ack()

    def test_not_expired_while_there_is_time(
        self, harness: Harness, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, "there", expiration=30)
        assert harness.take(queue, 1) == ["there"]


@requires("queue_expiry")
class QueueExpiry(Conformance):
    """``x-expires``: a queue that nobody uses is deleted."""

    def test_unused_queue_is_deleted(self, harness: Harness, connection: Any, channel: Any) -> None:
        queue = harness.queue(channel, expires=0.2)
        harness.put(channel, queue, "gone with it")

        deadline = time.monotonic() + harness.prompt
        # A passive declaration counts as use, so look rarely.
        time.sleep(0.5)
        while True:
            try:
                queue(connection.channel()).queue_declare(passive=True)
            except connection.channel_errors:
                return
            assert time.monotonic() < deadline, "the queue is still there"
            time.sleep(0.5)

    def test_queue_with_a_consumer_stays(
        self, harness: Harness, connection: Any, channel: Any
    ) -> None:
        queue = harness.queue(channel, expires=0.2)
        inbox = Inbox(channel, queue, ack=True)
        deadline = time.monotonic() + 0.6
        while time.monotonic() < deadline:
            harness.silence(connection)
        harness.put(channel, queue, "there")
        harness.until(inbox.has(1), connection)


@requires("max_length")
class MaxLength(Conformance):
    """``x-max-length``, ``x-max-length-bytes``, ``x-overflow``."""

    def test_oldest_is_dropped(self, harness: Harness, channel: Any) -> None:
        queue = harness.queue(channel, max_length=3)
        harness.put(channel, queue, *range(5))
        harness.has_size(queue, 3)
        assert harness.take(queue, 3) == [2, 3, 4]

    @requires("max_length_bytes")
    def test_bytes(self, harness: Harness, channel: Any) -> None:
        queue = harness.queue(channel, max_length_bytes=250)
        for letter in "abcd":
            harness.put(channel, queue, letter * 98)
        harness.has_size(queue, 2)
        assert harness.take(queue, 2) == ["c" * 98, "d" * 98]

    def test_unacked_do_not_count(self, harness: Harness, channel: Any) -> None:
        queue = harness.queue(channel, max_length=1)
        harness.put(channel, queue, "held")
        held = harness.get(queue)
        harness.put(channel, queue, "waiting")
        harness.has_size(queue, 1)
        held.ack()
        assert harness.take(queue, 1) == ["waiting"]

    def test_reject_publish(self, harness: Harness, channel: Any) -> None:
        queue = harness.queue(
            channel, max_length=2, queue_arguments={"x-overflow": "reject-publish"}
        )
        refused = 0
        for number in range(4):
            try:
                harness.put(channel, queue, number)
            except (MessageNacked, *channel.connection.client.channel_errors):
                refused += 1
        harness.has_size(queue, 2)
        # Without confirms AMQP has no way to say so.
        assert refused in (0, 2)
        assert harness.take(queue, 2) == [0, 1]


@requires("dead_letter")
class DeadLetters(Conformance):
    """``x-dead-letter-exchange``: what is given up goes on, and says why in ``x-death``."""

    def pair(self, harness: Harness, channel: Any, **options: Any) -> tuple[Any, Any, Any]:
        exchange = harness.exchange(channel, "direct")
        dead = harness.queue(channel, exchange, routing_key="dead")
        arguments = {
            "x-dead-letter-exchange": exchange.name,
            "x-dead-letter-routing-key": "dead",
            **options.pop("queue_arguments", {}),
        }
        return harness.queue(channel, queue_arguments=arguments, **options), dead, exchange

    def test_rejected(self, harness: Harness, channel: Any) -> None:
        queue, dead, exchange = self.pair(harness, channel)
        harness.put(channel, queue, {"a": 1}, headers={"mine": "kept"}, correlation_id="c")
        harness.get(queue).reject()
        message = harness.get(dead)
        assert message.payload == {"a": 1}
        assert message.headers["mine"] == "kept"
        assert message.properties["correlation_id"] == "c"
        [death] = message.headers["x-death"]
        assert death["reason"] == "rejected"
        assert death["queue"] == queue.name
        assert death["exchange"] == ""
        assert death["count"] == 1
        assert list(death["routing-keys"]) == [queue.name]
        assert message.headers["x-first-death-reason"] == "rejected"
        assert message.headers["x-first-death-queue"] == queue.name
        assert message.delivery_info["exchange"] == exchange.name
        assert message.delivery_info["routing_key"] == "dead"
        message.ack()

    def test_requeued_is_not_dead(self, harness: Harness, channel: Any) -> None:
        queue, dead, _ = self.pair(harness, channel)
        harness.put(channel, queue, "again")
        harness.get(queue).requeue()
        harness.nothing_in(dead)
        assert harness.take(queue, 1) == ["again"]

    @requires("message_ttl")
    def test_expired(self, harness: Harness, channel: Any) -> None:
        queue, dead, _ = self.pair(harness, channel, message_ttl=0.05)
        harness.put(channel, queue, "late")
        message = self.arrived(harness, queue, dead)
        assert message.payload == "late"
        assert message.headers["x-death"][0]["reason"] == "expired"
        message.ack()

    @requires("message_ttl")
    def test_expired_message_loses_its_expiration(self, harness: Harness, channel: Any) -> None:
        queue, dead, _ = self.pair(harness, channel)
        harness.put(channel, queue, "late", expiration=0.05)
        message = self.arrived(harness, queue, dead)
        assert not message.properties.get("expiration")
        assert message.headers["x-death"][0]["original-expiration"] == "50"
        message.ack()

    @requires("max_length")
    def test_over_the_limit(self, harness: Harness, channel: Any) -> None:
        queue, dead, _ = self.pair(harness, channel, max_length=1)
        harness.put(channel, queue, "old", "new")
        message = harness.get(dead)
        assert message.payload == "old"
        assert message.headers["x-death"][0]["reason"] == "maxlen"
        message.ack()
        assert harness.take(queue, 1) == ["new"]

    def test_keeps_its_key_where_none_is_given(self, harness: Harness, channel: Any) -> None:
        exchange = harness.exchange(channel, "direct")
        queue = harness.queue(channel, queue_arguments={"x-dead-letter-exchange": exchange.name})
        dead = harness.queue(channel, exchange, routing_key=queue.name)
        harness.put(channel, queue, "x")
        harness.get(queue).reject()
        message = harness.get(dead)
        assert message.delivery_info["routing_key"] == queue.name
        message.ack()

    def test_counts_deaths(self, harness: Harness, channel: Any) -> None:
        queue = harness.queue(channel)
        looping = harness.queue(
            channel,
            queue_arguments={
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": queue.name,
            },
        )
        harness.put(channel, looping, "round")
        for count in (1, 2, 3):
            harness.get(looping).reject()
            message = harness.get(queue)
            [death] = [d for d in message.headers["x-death"] if d["queue"] == looping.name]
            assert death["count"] == count
            channel.Producer().publish(
                message.payload,
                exchange="",
                routing_key=looping.name,
                headers=dict(message.headers),
            )
            message.ack()
        harness.get(looping).ack()

    def test_without_a_dead_letter_exchange_it_is_gone(
        self, harness: Harness, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, "gone")
        harness.get(queue).reject()
        harness.nothing_in(queue)

    def arrived(self, harness: Harness, queue: Any, dead: Any) -> Any:
        """The dead letter; looks at the queue too, where expiry is found out on access."""

        def look() -> Any:
            assert queue.get() is None
            return dead.get()

        time.sleep(0.1)
        return harness.eventually(look, "the dead letter")


@requires("delay")
class Delay(Conformance):
    """The header ``x-delay``: milliseconds for which a message is held back."""

    def test_delayed(self, harness: Harness, connection: Any, channel: Any, queue: Any) -> None:
        inbox = Inbox(channel, queue, ack=True)
        start = time.monotonic()
        harness.put(channel, queue, "later", headers={"x-delay": 300})
        harness.put(channel, queue, "now")
        harness.until(inbox.has(2), connection)
        took = time.monotonic() - start
        assert inbox.payloads == ["now", "later"]
        assert 0.29 <= took < 0.3 + harness.prompt / 2

    def test_delayed_is_not_ready(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, "later", headers={"x-delay": 60_000})
        harness.nothing_in(queue)

    def test_shorter_delay_overtakes(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, "second", headers={"x-delay": 300})
        harness.put(channel, queue, "first", headers={"x-delay": 100})
        assert harness.take(queue, 2) == ["first", "second"]


@unless("message_ttl", "max_length", "dead_letter")
class NoPolicies(Conformance):
    """Arguments that would be ignored are refused or warned about."""

    @pytest.mark.parametrize(
        "arguments",
        [
            {"x-message-ttl": 1000},
            {"x-max-length": 1},
            {"x-dead-letter-exchange": "dead"},
        ],
        ids=lambda arguments: next(iter(arguments)),
    )
    def test_unsupported_argument_is_said(
        self, harness: Harness, arguments: dict[str, Any]
    ) -> None:
        connection = harness.connection()
        channel = connection.channel()
        try:
            with pytest.warns(Warning):
                harness.queue(channel, queue_arguments=arguments)
        except connection.channel_errors:
            pass
