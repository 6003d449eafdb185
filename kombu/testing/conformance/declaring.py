"""Queues and exchanges: equivalence, flags, errors with AMQP's codes."""

from __future__ import annotations

from typing import Any

import pytest

from kombu.testing.conformance.base import Conformance, code_of
from kombu.testing.conformance.harness import Harness, Inbox
from kombu.testing.conformance.selection import requires, unless


class Declaring(Conformance):
    """What AMQP refuses is refused under ``strict``; by default it is said."""

    @pytest.fixture
    def strict(self, harness: Harness) -> Any:
        """A connection in strict mode."""
        return harness.connection(strict=True)

    def refused(self, connection: Any, code: int, verb: Any, *args: Any, **kwargs: Any) -> None:
        with pytest.raises(connection.channel_errors) as caught:
            verb(*args, **kwargs)
        assert code_of(caught.value) == code

    def test_redeclared_queue_with_other_arguments_406(self, harness: Harness, strict: Any) -> None:
        channel = strict.channel()
        queue = harness.queue(channel, expires=60)
        self.refused(
            strict, 406, channel.queue_declare, queue.name, durable=False, auto_delete=False
        )

    def test_redeclared_queue_with_other_flags_406(self, harness: Harness, strict: Any) -> None:
        channel = strict.channel()
        queue = harness.queue(channel)
        self.refused(
            strict, 406, channel.queue_declare, queue.name, durable=False, auto_delete=True
        )

    @requires("drop_in")
    def test_redeclared_queue_is_warned_about(self, harness: Harness) -> None:
        channel = harness.connection(strict=False).channel()
        queue = harness.queue(channel)
        with pytest.warns(Warning):
            channel.queue_declare(queue.name, durable=False, auto_delete=True)

    def test_redeclared_exchange_of_another_type_406(
        self, harness: Harness, connection: Any, channel: Any
    ) -> None:
        kinds = sorted(self.declared.exchange_types)
        exchange = harness.exchange(channel, kinds[0])
        other = harness.named_exchange(exchange.name, kinds[-1] if len(kinds) > 1 else "direct")
        if other.type == exchange.type:
            other.durable = True
        with pytest.raises(connection.channel_errors):
            other(channel).declare()

    def test_unknown_exchange_type(self, harness: Harness, connection: Any, channel: Any) -> None:
        errors = (*connection.channel_errors, *connection.connection_errors)
        with pytest.raises(errors):
            harness.named_exchange(harness.name(), "nonsense")(channel).declare()

    def test_bind_to_an_undeclared_exchange_404(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        self.refused(connection, 404, channel.queue_bind, queue.name, harness.name("missing"), "k")

    def test_publish_to_an_undeclared_exchange_404(self, harness: Harness, strict: Any) -> None:
        channel = strict.channel()
        with pytest.raises(strict.channel_errors) as caught:
            channel.Producer().publish("lost", exchange=harness.name("missing"), routing_key="k")
            channel.queue_declare(queue="", exclusive=True)
        assert code_of(caught.value) == 404

    @requires("drop_in")
    def test_publish_to_an_undeclared_exchange_is_warned_about(self, harness: Harness) -> None:
        channel = harness.connection(strict=False).channel()
        with pytest.warns(Warning):
            channel.Producer().publish("lost", exchange=harness.name("missing"), routing_key="k")

    def test_delete_of_a_missing_exchange(self, harness: Harness, channel: Any) -> None:
        channel.exchange_delete(harness.name("missing"))

    def test_exchange_if_unused(self, harness: Harness, connection: Any) -> None:
        channel = connection.channel()
        exchange = harness.exchange(channel, "direct")
        queue = harness.queue(channel, exchange, routing_key="k")
        with pytest.raises(connection.channel_errors):
            exchange.delete(if_unused=True)
        channel = connection.channel()
        channel.Producer(exchange).publish("still there", routing_key="k")
        queue = queue(channel)
        assert harness.take(queue, 1) == ["still there"]
        queue.unbind_from(exchange, routing_key="k")
        exchange(channel).delete(if_unused=True)
        with pytest.raises(connection.channel_errors):
            queue.bind_to(exchange, routing_key="k")

    def test_queue_if_empty(self, harness: Harness, connection: Any, queue: Any) -> None:
        channel = connection.channel()
        harness.put(channel, queue, "there")
        harness.has_size(queue, 1)
        self.refused(connection, 406, queue(channel).delete, if_empty=True)
        queue = queue(connection.channel())
        assert harness.take(queue, 1) == ["there"]
        queue.delete(if_empty=True)

    def test_queue_if_unused(self, harness: Harness, connection: Any, queue: Any) -> None:
        inbox = Inbox(connection.channel(), queue)
        self.refused(connection, 406, queue(connection.channel()).delete, if_unused=True)
        inbox.cancel()
        queue(connection.channel()).delete(if_unused=True)

    def test_auto_delete_queue_goes_with_its_last_consumer(
        self, harness: Harness, connection: Any, channel: Any
    ) -> None:
        queue = harness.queue(channel, auto_delete=True)
        one, two = Inbox(channel, queue), Inbox(channel, queue)
        harness.put(channel, queue, "x")
        one.cancel()
        harness.size(queue)
        two.cancel()

        def gone() -> bool:
            try:
                harness.size(queue(connection.channel()))
            except connection.channel_errors:
                return True
            return False

        harness.eventually(gone, "the queue deletes itself")

    def test_auto_delete_queue_without_consumers_stays(
        self, harness: Harness, channel: Any
    ) -> None:
        queue = harness.queue(channel, auto_delete=True)
        harness.put(channel, queue, "x")
        assert harness.take(queue, 1) == ["x"]
        assert harness.size(queue) == 0

    def test_passive_exchange(self, harness: Harness, connection: Any, channel: Any) -> None:
        exchange = harness.exchange(channel, "direct")
        exchange.declare(passive=True)
        self.refused(
            connection,
            404,
            harness.named_exchange(harness.name("missing"))(channel).declare,
            passive=True,
        )

    def test_consume_from_an_unknown_queue_404(self, harness: Harness, strict: Any) -> None:
        channel = strict.channel()
        self.refused(strict, 404, Inbox, channel, harness.named_queue(harness.name("missing")))

    def test_get_from_an_unknown_queue_404(self, harness: Harness, strict: Any) -> None:
        queue = harness.named_queue(harness.name("missing"))(strict.channel())
        self.refused(strict, 404, queue.channel.basic_get, queue.name)


@requires("exclusive")
class Exclusive(Conformance):
    """Exclusive queues and consumers."""

    def test_exclusive_queue_refuses_other_connections_405(
        self, harness: Harness, channel: Any
    ) -> None:
        queue = harness.queue(channel, exclusive=True, auto_delete=False)
        other = harness.connection()
        with pytest.raises(other.channel_errors) as caught:
            queue(other.channel()).queue_declare(passive=True)
        assert code_of(caught.value) == 405

    def test_exclusive_queue_goes_with_its_connection(
        self, harness: Harness, connection: Any
    ) -> None:
        owner = harness.connection()
        queue = harness.queue(owner.channel(), exclusive=True)
        owner.close()

        def gone() -> bool:
            try:
                queue(connection.channel()).queue_declare(passive=True)
            except connection.channel_errors as exc:
                return bool(code_of(exc) == 404)
            return False

        harness.eventually(gone, "the exclusive queue is deleted")

    def test_exclusive_queue_may_be_used_on_other_channels_of_its_connection(
        self, harness: Harness, connection: Any, channel: Any
    ) -> None:
        queue = harness.queue(channel, exclusive=True)
        harness.put(connection.channel(), queue, "mine")
        assert harness.take(queue(connection.channel()), 1) == ["mine"]


@requires("consumer_counts")
class ConsumerCounts(Conformance):
    """``queue.declare-ok`` says how many consumers there are."""

    def test_consumer_count(self, harness: Harness, channel: Any, queue: Any) -> None:
        def count() -> int:
            return int(queue.queue_declare(passive=True)[2])

        assert count() == 0
        one = Inbox(channel, queue)
        two = Inbox(harness.connection().channel(), queue)
        harness.eventually(lambda: count() == 2, "two consumers")
        one.cancel()
        harness.eventually(lambda: count() == 1, "one consumer")
        two.cancel()
        harness.eventually(lambda: count() == 0, "no consumer")


@unless("exclusive")
class NotExclusive(Conformance):
    """Where exclusive queues are shared after all, that is said."""

    def test_exclusive_is_refused_or_only_local(self, harness: Harness) -> None:
        connection = harness.connection(strict=True)
        channel = connection.channel()
        name = harness.name("exclusive")
        queue = harness.named_queue(name, exclusive=True)(channel)
        try:
            queue.declare()
        except connection.channel_errors:
            return
        harness.put(channel, queue, "own")
        assert harness.take(queue, 1) == ["own"]
