"""Consumers that die, handlers that take long, servers that restart."""

from __future__ import annotations

import threading
import time
from typing import Any

from kombu.mixins import ConsumerMixin
from kombu.testing.conformance.base import Conformance
from kombu.testing.conformance.harness import Harness, Inbox
from kombu.testing.conformance.selection import requires


@requires("leases", "shared")
class Crashes(Conformance):
    """SIGKILL of a consumer: everything that it held comes back, once."""

    def test_killed_consumer_gives_back(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, *range(10))
        taken = harness.kill_consumer(queue, take=4)
        assert len(taken) == 4
        came = [harness.get(queue, timeout=harness.given_back) for _ in range(10)]
        assert sorted(message.payload for message in came) == list(range(10))
        harness.nothing_in(queue)

    def test_waiting_consumer_receives_what_the_killed_one_held(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, "held")
        assert harness.kill_consumer(queue, take=1) == ["held"]
        inbox = Inbox(channel, queue, ack=True)
        harness.until(inbox.has(1), connection, timeout=harness.given_back)
        assert inbox.messages[0].delivery_info["redelivered"]

    def test_living_consumer_keeps_what_it_holds(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        """However long the handler runs: no second consumer receives the message."""
        harness.put(channel, queue, "long work")
        held = harness.get(queue)
        other = harness.connection()
        inbox = Inbox(other.channel(), queue)
        deadline = time.monotonic() + 2.5 * harness.lease
        while time.monotonic() < deadline:
            harness.silence(other)
        assert len(inbox) == 0, "delivered twice while the first consumer was alive"
        held.ack()
        inbox.cancel()
        channel.close()
        harness.nothing_in(queue(connection.channel()))


@requires("durable", "shared")
class Durable(Conformance):
    """Messages outlive the process that published them."""

    def test_published_by_a_process_that_ended(
        self, harness: Harness, channel: Any, queue: Any
    ) -> None:
        process = harness.process("publish", queue.name, bodies=[1, 2, 3])
        assert harness.lines(process, 1) == [3]
        process.wait(harness.prompt)
        harness.has_size(queue, 3)
        assert sorted(harness.take(queue, 3)) == [1, 2, 3]

    @requires("restartable")
    def test_messages_outlive_the_server(self, harness: Harness) -> None:
        connection = harness.connection()
        channel = connection.channel()
        queue = harness.queue(channel, durable=True, auto_delete=False)
        harness.put(channel, queue, *range(5), delivery_mode=2)
        harness.has_size(queue, 5)
        connection.close()
        assert harness.restart is not None
        harness.restart()
        again = queue(harness.connection().channel())
        assert sorted(harness.take(again, 5)) == list(range(5))


@requires("restartable")
class Restarts(Conformance):
    """Clients go on after the server came back."""

    def test_consumer_mixin_resumes(self, harness: Harness) -> None:
        connection = harness.connection()
        queue = harness.queue(connection.channel(), durable=True)
        received: list[Any] = []
        source = harness.named_queue(queue.name, durable=True)

        class Worker(ConsumerMixin):
            def __init__(self) -> None:
                self.connection = harness.connection()

            def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:
                return [Consumer([source], on_message=self.on_message)]

            def on_message(self, message: Any) -> None:
                received.append(message.payload)
                message.ack()

        worker = Worker()
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        try:
            harness.put(connection.channel(), queue, "before")
            harness.eventually(lambda: received == ["before"], "the first message")
            connection.close()
            assert harness.restart is not None
            harness.restart()
            harness.put(harness.connection().channel(), queue, "after")
            harness.eventually(lambda: "after" in received, "the consumer resumes", timeout=30)
        finally:
            worker.should_stop = True
            thread.join(harness.prompt)
        assert not thread.is_alive()
