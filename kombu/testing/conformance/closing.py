"""After close every verb raises; timeouts hold; waking is prompt and waiting costs nothing."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from kombu.testing.conformance.base import Conformance
from kombu.testing.conformance.harness import Harness, Inbox
from kombu.testing.conformance.selection import requires


class Closing(Conformance):
    """Nothing works on silently after close."""

    def errors(self, connection: Any) -> tuple[type[BaseException], ...]:
        return (*connection.channel_errors, *connection.connection_errors)

    @pytest.mark.parametrize("verb", ["get", "declare", "publish", "consume"])
    def test_verbs_after_the_channel_was_closed(
        self, harness: Harness, connection: Any, channel: Any, queue: Any, verb: str
    ) -> None:
        errors = self.errors(connection)
        prepared = channel.prepare_message(b"x")
        channel.close()
        verbs = {
            "get": lambda: channel.basic_get(queue.name),
            "declare": lambda: channel.queue_declare(queue.name, durable=False, auto_delete=False),
            "publish": lambda: channel.basic_publish(prepared, exchange="", routing_key=queue.name),
            "consume": lambda: channel.basic_consume(
                queue=queue.name, no_ack=False, callback=print, consumer_tag="tag-1"
            ),
        }
        with pytest.raises(errors):
            verbs[verb]()

    def test_close_twice(self, harness: Harness, channel: Any) -> None:
        channel.close()
        channel.close()
        connection = harness.connection()
        connection.close()
        connection.close()

    def test_closing_one_channel_leaves_the_others(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        other = connection.channel()
        channel.close()
        harness.put(other, queue, "works")
        assert harness.take(queue(other), 1) == ["works"]

    def test_many_channels(self, harness: Harness, connection: Any) -> None:
        for _ in range(200):
            connection.channel().close()
        open_at_once = [connection.channel() for _ in range(30)]
        assert len({channel.channel_id for channel in open_at_once}) == 30

    def test_connection_can_be_used_again(self, harness: Harness, channel: Any, queue: Any) -> None:
        connection = harness.connection()
        connection.release()
        connection.connect()
        with connection.channel() as again:
            harness.put(again, queue, "back")
        assert harness.take(queue, 1) == ["back"]

    def test_drain_without_channels_ends_in_time(self, harness: Harness) -> None:
        connection = harness.connection()
        start = time.monotonic()
        with pytest.raises((TimeoutError, *self.errors(connection))):
            connection.drain_events(timeout=0.1)
        assert time.monotonic() - start < harness.prompt


class Waking(Conformance):
    """``drain_events``: holds its timeout, wakes at once, costs nothing."""

    @pytest.mark.parametrize("timeout", [0.05, 0.3])
    def test_timeout_holds(
        self, harness: Harness, connection: Any, channel: Any, queue: Any, timeout: float
    ) -> None:
        Inbox(channel, queue)
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=timeout)
        took = time.monotonic() - start
        assert timeout * 0.9 <= took < timeout + 0.5

    def test_timeout_holds_while_credit_is_used_up(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(3))
        inbox = Inbox(channel, queue, prefetch=1)
        harness.until(inbox.has(1), connection)
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.2)
        assert 0.18 <= time.monotonic() - start < 0.7

    def test_wakes_at_once(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        latencies: list[float] = []

        def received(message: Any) -> None:
            latencies.append(time.monotonic() - message.payload)
            message.ack()

        publisher = harness.connection().channel()
        consumer = channel.Consumer([queue], on_message=received, auto_declare=False)
        consumer.consume()
        for count in range(1, 6):
            # Long enough for a transport that backs off to have backed off.
            timer = threading.Timer(0.15, lambda: harness.put(publisher, queue, time.monotonic()))
            timer.start()
            while len(latencies) < count:
                connection.drain_events(timeout=harness.prompt)
            timer.join()
        limit = 0.1 if self.declared.event_loop else 1.5
        assert sorted(latencies)[2] < limit, f"seconds from publish to callback: {latencies}"

    @requires("shared")
    def test_waiting_costs_nothing(self, harness: Harness, queue: Any) -> None:
        process = harness.process("idle", queue.name, seconds=1.0)
        [seconds] = harness.lines(process, 1)
        assert seconds < 0.25, f"{seconds} s of processor time for one second of waiting"

    def test_waiting_thread_costs_nothing(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        Inbox(channel, queue)
        before = time.thread_time()
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.5)
        assert time.thread_time() - before < 0.15


class Threads(Conformance):
    """Acknowledgements come from any thread; each thread publishes on a channel of its own."""

    def test_acks_from_other_threads(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(20))
        inbox = Inbox(channel, queue)
        harness.until(inbox.has(20), connection)
        self.run([message.ack for message in inbox.messages])
        inbox.cancel()
        channel.close()
        assert harness.size(queue(connection.channel())) == 0

    def test_sixteen_publishing_threads(self, harness: Harness, channel: Any, queue: Any) -> None:
        def publish(number: int) -> Any:
            def run() -> None:
                with harness.connection() as connection, connection.channel() as own:
                    harness.put(own, queue, *(number * 100 + i for i in range(10)))

            return run

        self.run([publish(number) for number in range(16)])
        harness.has_size(queue, 160)
        expected = sorted(number * 100 + i for number in range(16) for i in range(10))
        assert sorted(harness.take(queue, 160)) == expected

    def test_each_message_once_for_getting_threads(
        self, harness: Harness, channel: Any, queue: Any
    ) -> None:
        harness.put(channel, queue, *range(60))
        harness.has_size(queue, 60)
        taken: list[Any] = []

        def take() -> None:
            own = queue(harness.connection().channel())
            while message := own.get():
                taken.append(message.payload)
                message.ack()

        self.run([take] * 4)
        assert sorted(taken) == list(range(60))

    def run(self, jobs: list[Any]) -> None:
        failures: list[BaseException] = []

        def guarded(job: Any) -> None:
            try:
                job()
            except BaseException as exc:  # noqa: BLE001 - raised again in the test's thread
                failures.append(exc)

        threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "a thread hangs"
        if failures:
            raise failures[0]
