"""Patterns made of the verbs: SimpleQueue, pidbox mailboxes, ConsumerMixin, connection pools."""

from __future__ import annotations

import threading
from contextlib import suppress
from queue import Empty
from typing import Any

import pytest

from kombu.mixins import ConsumerMixin
from kombu.pidbox import Mailbox
from kombu.testing.conformance.base import Conformance
from kombu.testing.conformance.harness import Harness
from kombu.testing.conformance.selection import requires


class Patterns(Conformance):
    """What applications use."""

    def test_simple_queue(self, harness: Harness, connection: Any) -> None:
        name = harness.name("simple")
        harness.named_queue(name)
        harness.named_exchange(name)
        with connection.SimpleQueue(name) as simple:
            simple.put({"a": 1})
            simple.put("b")
            message = simple.get(timeout=harness.prompt)
            assert message.payload == {"a": 1}
            message.ack()
            second = simple.get(timeout=harness.prompt)
            second.requeue()
            third = simple.get(timeout=harness.prompt)
            assert third.payload == "b"
            third.ack()
            with pytest.raises(Empty):
                simple.get(block=False)
            with pytest.raises(Empty):
                simple.get(timeout=0.05)
            simple.put("c")
            harness.eventually(lambda: simple.qsize() + 1, "qsize")
            simple.clear()

    def test_simple_buffer(self, harness: Harness, connection: Any) -> None:
        name = harness.name("buffer")
        harness.named_queue(name)
        harness.named_exchange(name)
        with connection.SimpleBuffer(name) as buffer:
            buffer.put("unsafe")
            assert buffer.get(timeout=harness.prompt).payload == "unsafe"

    def test_consumer_mixin(self, harness: Harness, channel: Any, queue: Any) -> None:
        received: list[Any] = []
        source = harness.named_queue(queue.name)

        class Worker(ConsumerMixin):
            def __init__(self, connection: Any) -> None:
                self.connection = connection

            def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:
                return [Consumer([source], on_message=self.on_message)]

            def on_message(self, message: Any) -> None:
                received.append(message.payload)
                message.ack()
                self.should_stop = len(received) == 3

        harness.put(channel, queue, 1, 2, 3)
        with suppress(TimeoutError):
            Worker(harness.connection()).run(timeout=harness.prompt)
        assert sorted(received) == [1, 2, 3]

    def test_producer_pool(self, harness: Harness, channel: Any, queue: Any) -> None:
        from kombu import pools

        connection = harness.connection()
        with pools.producers[connection].acquire(block=True) as producer:
            producer.publish("pooled", exchange="", routing_key=queue.name)
        assert harness.take(queue, 1) == ["pooled"]
        pools.reset()

    def test_publish_with_retry(self, harness: Harness, connection: Any, queue: Any) -> None:
        producer = connection.Producer()
        producer.publish(
            "retried",
            exchange="",
            routing_key=queue.name,
            retry=True,
            retry_policy={"max_retries": 2, "interval_start": 0, "interval_step": 0.1},
        )
        assert harness.take(queue, 1) == ["retried"]

    def test_connection_ensure(self, harness: Harness, connection: Any, queue: Any) -> None:
        channel = connection.channel()
        publish = connection.ensure(channel.Producer(), channel.Producer().publish, max_retries=2)
        publish("ensured", exchange="", routing_key=queue.name)
        assert harness.take(queue, 1) == ["ensured"]


@requires("fanout", "direct")
class Pidbox(Conformance):
    """Remote control over the transport."""

    def serve(self, harness: Harness, mailbox: Mailbox, names: list[str]) -> Any:
        stop = threading.Event()
        ready = threading.Barrier(len(names) + 1)

        def run(name: str) -> None:
            with harness.connection() as connection, connection.channel() as channel:
                calls: list[Any] = []

                def double(state: Any, number: int = 0) -> int:
                    calls.append(number)
                    return number * 2

                node = mailbox(connection).Node(
                    name, state=None, handlers={"double": double}, channel=channel
                )
                node.listen(channel=channel)
                ready.wait(harness.prompt)
                while not stop.is_set():
                    with suppress(TimeoutError):
                        connection.drain_events(timeout=0.05)

        threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in names]
        for thread in threads:
            thread.start()
        ready.wait(harness.prompt)

        def finish() -> None:
            stop.set()
            for thread in threads:
                thread.join(harness.prompt)

        return finish

    @pytest.fixture
    def mailbox(self, harness: Harness) -> Mailbox:
        mailbox = Mailbox(harness.name("pidbox"), type="fanout")
        harness.named_exchange(mailbox.exchange.name, "fanout")
        harness.named_exchange(mailbox.reply_exchange.name)
        return mailbox

    def test_multi_call(self, harness: Harness, connection: Any, mailbox: Mailbox) -> None:
        finish = self.serve(harness, mailbox, ["one", "two"])
        try:
            replies = mailbox(connection).multi_call(
                "double", {"number": 4}, timeout=harness.prompt, limit=2
            )
        finally:
            finish()
        assert sorted(reply.popitem() for reply in replies) == [("one", 8), ("two", 8)]

    def test_call_one(self, harness: Harness, connection: Any, mailbox: Mailbox) -> None:
        finish = self.serve(harness, mailbox, ["one", "two"])
        try:
            replies = mailbox(connection).call(
                ["two"], "double", {"number": 5}, timeout=harness.prompt
            )
        finally:
            finish()
        assert replies == [{"two": 10}]
