"""The pytest plugin: inert until used, isolated, readable; run in pytest sessions of their own."""

from __future__ import annotations

import subprocess
import sys
import threading
from unittest.mock import ANY

import pytest
from amqp.exceptions import RecoverableConnectionError

from kombu import Connection, Consumer, Exchange, Queue
from kombu.mixins import ConsumerMixin

pytest_plugins = "pytester"


class TestInert:
    def test_starting_pytest_imports_no_part_of_kombu(self, tmp_path) -> None:
        (tmp_path / "test_it.py").write_text(
            "import sys\n"
            "def test_it():\n"
            "    loaded = [n for n in sys.modules if n.startswith('kombu')]\n"
            "    assert 'kombu.testing.plugin' in loaded\n"
            "    heavy = ('kombu.connection', 'kombu.messaging', 'kombu.transport', 'amqp')\n"
            "    assert not [n for n in sys.modules if n.startswith(heavy)]\n"
        )
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout

    def test_fixtures_are_documented(self, pytester: pytest.Pytester) -> None:
        result = pytester.runpytest_subprocess("--fixtures", "-q")
        for name in ("broker", "connection", "producer", "clock", "faults"):
            result.stdout.fnmatch_lines([f"kombu_{name} -- *kombu/testing/plugin.py:*"])


class TestIsolation:
    def test_each_test_has_a_broker_of_its_own(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            import pytest
            from kombu import Queue
            from kombu.transport.memory.broker import registry

            seen = []

            @pytest.mark.parametrize("number", range(2))
            def test_it(kombu_broker, kombu_connection, number):
                with kombu_connection.SimpleQueue("tasks") as queue:
                    assert queue.qsize() == 0
                    queue.put(number)
                kombu_broker.published(times=1, body=number)
                seen.append((kombu_broker.vhost, kombu_connection))

            def test_nothing_is_left():
                assert seen[0][0] != seen[1][0]
                assert not seen[0][1].connected
                assert not [name for name in registry._brokers if name.startswith("test-")]
            """
        )
        pytester.runpytest_subprocess().assert_outcomes(passed=3)


class TestAssertions:
    def test_what_an_application_published_by_its_url(self, kombu_broker) -> None:
        with Connection(kombu_broker.url) as connection:
            connection.Producer().publish(
                {"id": 7}, exchange=Exchange("jobs", "topic"), routing_key="a.b",
                declare=[Queue("q", Exchange("jobs", "topic"), "a.#")], headers={"x": 1, "y": 2},
            )  # fmt: skip
        found = kombu_broker.published(
            times=1, exchange="jobs", routing_key="a.b", queue="q", headers={"x": 1}, body=ANY
        )
        assert found[0].body == {"id": 7}
        kombu_broker.published(times=0, routing_key="a.c")
        kombu_broker.consumed(times=0)

    def test_a_consumed_message_is_one_that_was_acknowledged(
        self, kombu_broker, kombu_connection, kombu_producer
    ) -> None:
        kombu_producer.publish("one", routing_key="q", declare=[Queue("q")])
        kombu_producer.publish("two", routing_key="q")
        queue = Queue("q")(kombu_connection.default_channel)
        queue.get().ack()
        queue.get().reject()
        assert [each.body for each in kombu_broker.consumed(queue="q")] == ["one"]
        with pytest.raises(AssertionError):
            kombu_broker.consumed(body="two", within=0)

    def test_assertions_wait_for_other_threads(self, kombu_broker, kombu_connection) -> None:
        with Connection(kombu_broker.url) as connection:
            queue = Queue("q")(connection.default_channel)
            queue.declare()
            timer = threading.Timer(
                0.05, connection.Producer().publish, ["late"], {"routing_key": "q"}
            )
            timer.start()
            kombu_broker.published(body="late", within=10)
            timer.join()

    def test_the_difference_is_readable(self, kombu_broker, kombu_producer) -> None:
        for number in range(3):
            kombu_producer.publish(
                {"id": number, "kind": "mail"}, routing_key="q", declare=[Queue("q")]
            )
        with pytest.raises(AssertionError) as caught:
            kombu_broker.published(body={"id": 2, "kind": "sms"}, queue="q", within=0)
        text = str(caught.value)
        assert "at least one message like this should have been published, 0 were" in text
        assert "- {'body': {'id': 2, 'kind': 'sms'}" in text.replace("  -", "-")
        assert "+ {'body': {'id': 2, 'kind': 'mail'}" in text.replace("  +", "+")
        assert "3. {'id': 2, 'kind': 'mail'} to '' with 'q', queue 'q'" in text
        with pytest.raises(AssertionError, match=r"2 message\(s\).*3 were"):
            kombu_broker.published(times=2)

    def test_a_recording_producer_keeps_what_no_queue_took(
        self, kombu_broker, kombu_producer
    ) -> None:
        with pytest.warns(UserWarning):
            kombu_producer.publish("lost", exchange="nowhere", routing_key="key", headers={"a": 1})
        kombu_producer.published(
            times=1, body="lost", exchange="nowhere", routing_key="key", headers={"a": 1}
        )
        kombu_broker.published(times=0)


class TestClock:
    def test_expiry(self, kombu_broker, kombu_connection, kombu_producer, kombu_clock) -> None:
        kombu_producer.publish("old", routing_key="q", expiration=60, declare=[Queue("q")])
        queue = Queue("q")(kombu_connection.default_channel)
        kombu_clock.advance(50)
        assert kombu_broker.size("q") == 1
        kombu_clock.advance(11)
        assert queue.get() is None

    def test_expiry_by_queue_ends_in_the_dead_letter_queue(
        self, kombu_connection, kombu_producer, kombu_clock
    ) -> None:
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        queue = Queue("q", message_ttl=3600, queue_arguments=arguments)
        kombu_producer.publish("old", routing_key="q", declare=[queue, Queue("dead")])
        kombu_clock.advance(3601)
        assert queue(kombu_connection.default_channel).get() is None
        dead = Queue("dead")(kombu_connection.default_channel).get()
        assert dead.headers["x-death"][0]["reason"] == "expired"

    def test_delay_wakes_a_consumer_that_waits(
        self, kombu_connection, kombu_producer, kombu_clock
    ) -> None:
        kombu_producer.publish("later", routing_key="q", delay=3600, declare=[Queue("q")])
        got = []

        def receive(body, message) -> None:
            got.append(body)
            message.ack()

        with kombu_connection.Consumer(Queue("q"), callbacks=[receive]):
            with pytest.raises(TimeoutError):
                kombu_connection.drain_events(timeout=0.05)
            timer = threading.Timer(0.05, kombu_clock.advance, [3601])
            timer.start()
            kombu_connection.drain_events(timeout=10)
            timer.join()
        assert got == ["later"]

    def test_an_unused_queue_goes(self, kombu_connection, kombu_clock) -> None:
        channel = kombu_connection.default_channel
        Queue("q", expires=600)(channel).declare()
        kombu_clock.advance(601)
        with pytest.raises(kombu_connection.channel_errors):
            channel.queue_declare("q", passive=True)

    def test_time_does_not_go_back(self, kombu_clock) -> None:
        with pytest.raises(ValueError, match="back"):
            kombu_clock.advance(-1)


class TestFaults:
    def test_the_next_publishes_fail(self, kombu_broker, kombu_producer, kombu_faults) -> None:
        kombu_faults.fail_publishes(2)
        for _ in range(2):
            with pytest.raises(RecoverableConnectionError):
                kombu_producer.publish("x", routing_key="q", declare=[Queue("q")])
        kombu_producer.publish("y", routing_key="q")
        assert [each.body for each in kombu_broker.published(queue="q")] == ["y"]

    def test_retries_get_through(self, kombu_broker, kombu_producer, kombu_faults) -> None:
        kombu_faults.fail_publishes(2)
        kombu_producer.publish(
            "x", routing_key="q", declare=[Queue("q")], retry=True,
            retry_policy={"max_retries": 3, "interval_start": 0, "interval_step": 0},
        )  # fmt: skip
        kombu_broker.published(times=1, body="x")

    def test_a_lost_confirm_makes_two_of_one(
        self, kombu_broker, kombu_producer, kombu_faults
    ) -> None:
        kombu_faults.fail_publishes(1, arrives=True)
        kombu_producer.publish(
            "x", routing_key="q", declare=[Queue("q")], retry=True,
            retry_policy={"max_retries": 3, "interval_start": 0},
        )  # fmt: skip
        kombu_broker.published(times=2, body="x")

    def test_an_error_of_ones_own(self, kombu_producer, kombu_faults) -> None:
        kombu_faults.fail_publishes(1, error=OSError("disk full"))
        with pytest.raises(OSError, match="disk full"):
            kombu_producer.publish("x", routing_key="q", declare=[Queue("q")])

    def test_what_a_dead_consumer_held_returns(
        self, kombu_broker, kombu_connection, kombu_producer, kombu_faults
    ) -> None:
        kombu_producer.publish("x", routing_key="q", declare=[Queue("q")])
        held = Queue("q")(kombu_connection.default_channel).get()
        assert held is not None
        assert kombu_broker.size("q") == 0
        assert kombu_faults.drop_connections() == 1
        assert kombu_broker.size("q") == 1
        other = kombu_broker.connection()
        again = Queue("q")(other.default_channel).get()
        assert again.delivery_info["redelivered"]

    def test_connecting_is_refused(self, kombu_broker, kombu_faults) -> None:
        kombu_faults.refuse_connections(2)
        connection = kombu_broker.connection()
        with pytest.raises(kombu_broker.connection().connection_errors):
            connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
        refused = []
        connection.ensure_connection(
            errback=lambda exc, interval: refused.append(exc), max_retries=3, interval_start=0
        )
        assert connection.connected
        assert len(refused) == 1

    def test_a_worker_connects_again(self, kombu_broker, kombu_faults, kombu_producer) -> None:
        class Worker(ConsumerMixin):
            def __init__(self, connection: Connection) -> None:
                self.connection = connection
                self.ready = threading.Semaphore(0)

            def get_consumers(self, consumer: type[Consumer], channel) -> list[Consumer]:
                return [consumer(Queue("q"), on_message=lambda message: message.ack())]

            def on_consume_ready(self, *args, **kwargs) -> None:
                self.ready.release()

        worker = Worker(kombu_broker.connection())
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        assert worker.ready.acquire(timeout=10)
        kombu_faults.drop_connections()
        assert worker.ready.acquire(timeout=10)
        with kombu_broker.connection() as connection:
            connection.Producer().publish("after", routing_key="q")
            kombu_broker.consumed(body="after", within=10)
        worker.should_stop = True
        thread.join(10)
        assert not thread.is_alive()
