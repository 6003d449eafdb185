"""Exchanges: which queues a message reaches (AMQP 0-9-1 section 3.1.3)."""

from __future__ import annotations

from typing import Any

import pytest

from kombu import binding
from kombu.testing.conformance.base import Conformance
from kombu.testing.conformance.harness import Harness, Inbox
from kombu.testing.conformance.selection import requires

#: Pattern, keys it matches, keys it does not match.
TOPICS = [
    ("stock.#", ["stock", "stock.us", "stock.us.db"], ["stocks", "a.stock", ""]),
    ("#.error", ["error", "a.error", "a.b.error"], ["error.a", "errors"]),
    ("#", ["", "a", "a.b.c"], []),
    ("*", ["a", "stock"], ["a.b", ""]),
    ("a.*.c", ["a.b.c", "a..c"], ["a.c", "a.b.b.c", "a.b.c.d"]),
    ("a.#.c", ["a.c", "a.b.c", "a.b.b.c"], ["a", "c", "a.b", "a.b.c.d"]),
    ("*.#", ["a", "a.b"], [""]),
    ("#.#", ["", "a", "a.b"], []),
    ("a.+(b)", ["a.+(b)"], ["a.b", "a.bb"]),
    ("exact.key", ["exact.key"], ["exact", "exact.key.more", "exactXkey"]),
]


@requires("direct")
class Direct(Conformance):
    """Direct exchanges: the key equals the binding's."""

    def test_direct_by_key(self, harness: Harness, channel: Any) -> None:
        exchange = harness.exchange(channel, "direct")
        red = harness.queue(channel, exchange, routing_key="red")
        blue = harness.queue(channel, exchange, routing_key="blue")
        producer = channel.Producer(exchange)
        for key in ("red", "blue", "red", "green"):
            producer.publish(key, routing_key=key)
        assert harness.take(red, 2) == ["red", "red"]
        assert harness.take(blue, 1) == ["blue"]
        harness.nothing_in(red)
        harness.nothing_in(blue)

    def test_direct_to_all_bound_queues(self, harness: Harness, channel: Any) -> None:
        exchange = harness.exchange(channel, "direct")
        queues = [harness.queue(channel, exchange, routing_key="k") for _ in range(3)]
        channel.Producer(exchange).publish("copy", routing_key="k")
        assert [harness.take(queue, 1) for queue in queues] == [["copy"]] * 3

    def test_two_bindings_one_copy(self, harness: Harness, channel: Any) -> None:
        exchange = harness.exchange(channel, "direct")
        queue = harness.queue(channel, exchange, routing_key="k")
        queue.bind_to(exchange, routing_key="k")
        queue.bind_to(exchange, routing_key="other")
        producer = channel.Producer(exchange)
        producer.publish("one", routing_key="k")
        producer.publish("two", routing_key="other")
        assert harness.take(queue, 2) == ["one", "two"]
        harness.nothing_in(queue)

    def test_unbind(self, harness: Harness, channel: Any) -> None:
        exchange = harness.exchange(channel, "direct")
        queue = harness.queue(channel, exchange, routing_key="k")
        queue.bind_to(exchange, routing_key="l")
        queue.unbind_from(exchange, routing_key="k")
        producer = channel.Producer(exchange)
        producer.publish("lost", routing_key="k")
        producer.publish("kept", routing_key="l")
        assert harness.take(queue, 1) == ["kept"]
        harness.nothing_in(queue)

    def test_default_exchange_routes_by_queue_name(
        self, harness: Harness, channel: Any, queue: Any
    ) -> None:
        channel.Producer().publish("named", exchange="", routing_key=queue.name)
        assert harness.take(queue, 1) == ["named"]

    def test_deleted_exchange_takes_its_bindings_along(
        self, harness: Harness, channel: Any
    ) -> None:
        exchange = harness.exchange(channel, "direct")
        queue = harness.queue(channel, exchange, routing_key="k")
        harness.put(channel, queue, "stays")
        exchange.delete()
        exchange.declare()
        channel.Producer(exchange).publish("unrouted", routing_key="k")
        assert harness.take(queue, 1) == ["stays"]
        harness.nothing_in(queue)

    def test_deleted_queue_takes_its_bindings_along(self, harness: Harness, channel: Any) -> None:
        exchange = harness.exchange(channel, "direct")
        queue = harness.queue(channel, exchange, routing_key="k")
        queue.delete()
        queue.queue_declare()
        channel.Producer(exchange).publish("unrouted", routing_key="k")
        harness.nothing_in(queue)

    @requires("unicode_names")
    def test_exchange_name_with_spaces_and_dots(self, harness: Harness, channel: Any) -> None:
        exchange = harness.named_exchange(harness.name("an odd.näme"), "direct")(channel)
        exchange.declare()
        queue = harness.queue(channel, exchange, routing_key="k e.y/ö")
        channel.Producer(exchange).publish("odd", routing_key="k e.y/ö")
        assert harness.take(queue, 1) == ["odd"]


@requires("topic")
class Topic(Conformance):
    """Topic exchanges: ``*`` is one word, ``#`` zero or more."""

    @pytest.mark.parametrize(("pattern", "hits", "misses"), TOPICS, ids=[t[0] for t in TOPICS])
    def test_topic_pattern(
        self, harness: Harness, channel: Any, pattern: str, hits: list[str], misses: list[str]
    ) -> None:
        exchange = harness.exchange(channel, "topic")
        queue = harness.queue(channel, exchange, routing_key=pattern)
        producer = channel.Producer(exchange)
        for key in (*misses, *hits):
            producer.publish({"key": key}, routing_key=key)
        assert harness.take(queue, len(hits)) == [{"key": key} for key in hits]
        assert harness.size(queue) == 0

    def test_topic_words_are_whole(self, harness: Harness, channel: Any) -> None:
        exchange = harness.exchange(channel, "topic")
        queue = harness.queue(channel, exchange, routing_key="a.b")
        producer = channel.Producer(exchange)
        for key in ("a.b\n", "\na.b", "A.B", "a.b"):
            producer.publish(key, routing_key=key)
        assert harness.take(queue, 1) == ["a.b"]
        assert harness.size(queue) == 0

    def test_topic_overlapping_patterns_one_copy(self, harness: Harness, channel: Any) -> None:
        exchange = harness.exchange(channel, "topic")
        queue = harness.queue(channel, exchange, routing_key="#")
        for pattern in ("a.*", "*.b", "a.b"):
            queue.bind_to(exchange, routing_key=pattern)
        channel.Producer(exchange).publish("once", routing_key="a.b")
        assert harness.take(queue, 1) == ["once"]
        assert harness.size(queue) == 0

    def test_topic_unbind_one_pattern(self, harness: Harness, channel: Any) -> None:
        exchange = harness.exchange(channel, "topic")
        queue = harness.queue(channel, exchange, routing_key="a.*")
        queue.bind_to(exchange, routing_key="#.b")
        queue.unbind_from(exchange, routing_key="a.*")
        producer = channel.Producer(exchange)
        producer.publish("miss", routing_key="a.c")
        producer.publish("hit", routing_key="a.b")
        assert harness.take(queue, 1) == ["hit"]
        harness.nothing_in(queue)


@requires("fanout")
class Fanout(Conformance):
    """Fanout exchanges: every bound queue, whatever the key."""

    def test_fanout_copies_to_all(self, harness: Harness, connection: Any, channel: Any) -> None:
        exchange = harness.exchange(channel, "fanout")
        queues = [harness.queue(channel, exchange) for _ in range(3)]
        received: list[tuple[str, Any]] = []

        def receive(name: str) -> Any:
            def callback(message: Any) -> None:
                received.append((name, message.payload))
                message.ack()

            return callback

        consumers = [
            channel.Consumer([queue], on_message=receive(queue.name), auto_declare=False)
            for queue in queues
        ]
        for consumer in consumers:
            consumer.consume()
        channel.Producer(exchange).publish("all", routing_key="")
        harness.until(lambda: len(received) >= 3, connection)
        harness.silence(connection)
        assert sorted(received) == sorted((queue.name, "all") for queue in queues)

    def test_fanout_across_connections(
        self, harness: Harness, connection: Any, channel: Any
    ) -> None:
        exchange = harness.exchange(channel, "fanout")
        queue = harness.queue(channel, exchange)
        inbox = Inbox(channel, queue, ack=True)
        with harness.connection().channel() as other:
            harness.named_exchange(exchange.name, "fanout")(other).declare()
            other.Producer(exchange).publish("heard", routing_key="")
            harness.until(inbox.has(1), connection)
        assert inbox.payloads == ["heard"]

    def test_fanout_ignores_keys(self, harness: Harness, connection: Any, channel: Any) -> None:
        exchange = harness.exchange(channel, "fanout")
        keys = ("", "x", "y.z")
        inboxes = [
            Inbox(channel, harness.queue(channel, exchange, routing_key=key), ack=True)
            for key in keys
        ]
        channel.Producer(exchange).publish("all", routing_key="whatever")
        harness.until(lambda: all(inbox.has(1)() for inbox in inboxes), connection)
        harness.silence(connection)
        assert [inbox.payloads for inbox in inboxes] == [["all"]] * 3

    def test_unbound_from_fanout(self, harness: Harness, connection: Any, channel: Any) -> None:
        exchange = harness.exchange(channel, "fanout")
        stays = harness.queue(channel, exchange)
        leaves = harness.queue(channel, exchange)
        leaves.unbind_from(exchange)
        inbox, none = Inbox(channel, stays, ack=True), Inbox(channel, leaves, ack=True)
        channel.Producer(exchange).publish("one")
        harness.until(inbox.has(1), connection)
        harness.silence(connection)
        assert (len(inbox), len(none)) == (1, 0)


@requires("headers")
class Headers(Conformance):
    """Headers exchanges: ``x-match`` all (default) or any."""

    @pytest.mark.parametrize(
        ("arguments", "hits", "misses"),
        [
            (
                {"x-match": "all", "color": "red", "size": 1},
                [{"color": "red", "size": 1}, {"color": "red", "size": 1, "more": "x"}],
                [{"color": "red"}, {"color": "red", "size": 2}, {}],
            ),
            (
                {"x-match": "any", "color": "red", "size": 1},
                [{"color": "red"}, {"size": 1, "color": "blue"}],
                [{"color": "blue"}, {}],
            ),
            ({"color": "red"}, [{"color": "red"}], [{"color": "blue"}]),
        ],
        ids=["all", "any", "default"],
    )
    def test_headers_match(
        self,
        harness: Harness,
        channel: Any,
        arguments: dict[str, Any],
        hits: list[dict[str, Any]],
        misses: list[dict[str, Any]],
    ) -> None:
        exchange = harness.exchange(channel, "headers")
        queue = harness.queue(channel, exchange, binding_arguments=arguments)
        producer = channel.Producer(exchange)
        for headers in (*misses, *hits):
            producer.publish(headers, headers=headers, routing_key="ignored")
        assert harness.take(queue, len(hits)) == hits
        assert harness.size(queue) == 0

    def test_headers_unbind(self, harness: Harness, channel: Any) -> None:
        exchange = harness.exchange(channel, "headers")
        queue = harness.queue(channel, exchange, binding_arguments={"kind": "a"})
        queue.bind_to(exchange, arguments={"kind": "b"})
        queue.unbind_from(exchange, arguments={"kind": "a"})
        producer = channel.Producer(exchange)
        producer.publish("a", headers={"kind": "a"})
        producer.publish("b", headers={"kind": "b"})
        assert harness.take(queue, 1) == ["b"]
        harness.nothing_in(queue)


@requires("direct", "fanout")
class Chains(Conformance):
    """Exchange-to-exchange bindings and alternate exchanges (extensions of RabbitMQ)."""

    def test_exchange_to_exchange(self, harness: Harness, channel: Any) -> None:
        source = harness.exchange(channel, "direct")
        target = harness.exchange(channel, "direct")
        target.bind_to(source, routing_key="k")
        queue = harness.queue(channel, target, routing_key="k")
        channel.Producer(source).publish("through", routing_key="k")
        channel.Producer(source).publish("stopped", routing_key="other")
        assert harness.take(queue, 1) == ["through"]
        harness.nothing_in(queue)

    def test_exchange_unbind(self, harness: Harness, channel: Any) -> None:
        source = harness.exchange(channel, "direct")
        target = harness.exchange(channel, "direct")
        target.bind_to(source, routing_key="k")
        target.unbind_from(source, routing_key="k")
        queue = harness.queue(channel, target, routing_key="k")
        channel.Producer(source).publish("stopped", routing_key="k")
        harness.nothing_in(queue)

    def test_circle_of_exchanges_gives_one_copy(self, harness: Harness, channel: Any) -> None:
        one = harness.exchange(channel, "direct")
        two = harness.exchange(channel, "direct")
        one.bind_to(two, routing_key="k")
        two.bind_to(one, routing_key="k")
        queue = harness.queue(channel, one, routing_key="k")
        queue.bind_to(two, routing_key="k")
        channel.Producer(one).publish("round", routing_key="k")
        assert harness.take(queue, 1) == ["round"]
        harness.nothing_in(queue)

    def test_alternate_exchange(self, harness: Harness, channel: Any) -> None:
        spare = harness.exchange(channel, "direct")
        exchange = harness.exchange(channel, "direct", arguments={"alternate-exchange": spare.name})
        caught = harness.queue(channel, spare, routing_key="unknown")
        normal = harness.queue(channel, exchange, routing_key="known")
        producer = channel.Producer(exchange)
        producer.publish("normal", routing_key="known")
        producer.publish("caught", routing_key="unknown")
        assert harness.take(normal, 1) == ["normal"]
        assert harness.take(caught, 1) == ["caught"]
        harness.nothing_in(caught)

    def test_queue_with_several_bindings(self, harness: Harness, channel: Any) -> None:
        one, two = harness.exchange(channel, "direct"), harness.exchange(channel, "direct")
        queue = harness.named_queue(
            harness.name(),
            bindings=[binding(one, routing_key="a"), binding(two, routing_key="b")],
        )(channel)
        queue.declare()
        channel.Producer(one).publish("from one", routing_key="a")
        channel.Producer(two).publish("from two", routing_key="b")
        assert harness.take(queue, 2) == ["from one", "from two"]
