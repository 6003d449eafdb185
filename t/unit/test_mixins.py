from __future__ import annotations

import logging
from time import sleep

import pytest

from kombu.entity import Queue
from kombu.exceptions import OperationalError
from kombu.message import Message
from kombu.mixins import ConsumerMixin, ConsumerProducerMixin
from t.unit.recording import Client, RecordingChannel


class Connection(Client):
    """A connection whose events are scripted: exceptions are raised, functions called."""

    def __init__(self, script):
        super().__init__()
        self.script = script
        self.clones = []
        self.log = []
        self.channel = RecordingChannel()
        self.channel.connection.client = self

    connection_errors = (ConnectionResetError, TimeoutError)

    @property
    def default_channel(self):
        return self.channel

    def clone(self):
        clone = Connection(self.script)
        self.clones.append(clone)
        return clone

    def as_uri(self):
        return "scripted://"

    def ensure_connection(self, errback, max_retries):
        self.log.append(("connect", max_retries))

    def heartbeat_check(self):
        self.log.append("heartbeat")

    def collect(self):
        self.log.append("collect")

    def release(self):
        self.log.append("release")

    close = release

    def drain_events(self, timeout):
        event = self.script.pop(0)
        if isinstance(event, BaseException):
            raise event
        event(self)


class Worker(ConsumerMixin):
    def __init__(self, *script):
        self.connection = Connection(list(script))
        self.handled = []
        self.ready = []

    restart_limit = type("Unlimited", (), {"can_consume": lambda self, tokens: True})()

    def get_consumers(self, Consumer, channel):
        return [Consumer([Queue("q")], callbacks=[self.handle], prefetch_count=10)]

    def handle(self, body, message):
        self.handled.append(body)

    def on_consume_ready(self, connection, channel, consumers, **kwargs):
        self.ready.append((connection, kwargs))

    def stop(self, connection):
        self.should_stop = True


def deliver(body):
    def event(connection):
        message = Message(
            body,
            delivery_tag=7,
            content_type="application/json",
            channel=connection.channel,
            delivery_info={"exchange": "x", "routing_key": "k"},
            properties={"message_id": "id-1"},
        )
        connection.channel.named("basic_consume")[-1]["callback"](message)

    return event


def nothing(connection):
    """An event of no interest."""


class TestRun:
    def test_begins_again_with_all_it_had(self):
        worker = Worker(deliver(b"1"), ConnectionResetError("gone"), deliver(b"2"))
        worker.connection.script.append(worker.stop)
        worker.run(wakeup=False)
        assert worker.handled == [1, 2]
        first, second = worker.connection.clones
        for connection in (first, second):
            assert connection.channel.methods[:3] == [
                "queue_declare",
                "basic_qos",
                "basic_consume",
            ]
            assert connection.channel.named("basic_qos") == [{"args": (0, 10, False)}]
        assert worker.ready == [(first, {"wakeup": False}), (second, {"wakeup": False})]

    def test_dead_link_is_dropped_without_farewell(self):
        worker = Worker(ConnectionResetError("gone"))
        worker.connection.script.append(worker.stop)
        worker.run()
        dead, living = worker.connection.clones
        assert dead.log == [("connect", None), "collect", "release"]
        assert "basic_cancel" not in dead.channel.methods
        assert living.log == [("connect", None), "release"]
        assert "basic_cancel" in living.channel.methods

    def test_other_errors_end_it(self):
        worker = Worker(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            worker.run()
        assert worker.connection.clones[0].log[-1] == "release"

    def test_no_connection_at_all(self):
        worker = Worker()
        worker.connect_max_retries = 3

        class Dead(Connection):
            def ensure_connection(self, errback, max_retries):
                errback(ConnectionResetError("refused"), 2)
                raise OperationalError(f"{max_retries} retries")

        worker.create_connection = lambda: Dead([])
        with pytest.raises(OperationalError, match="3 retries"):
            worker.run()

    def test_waits_for_the_restart_limit(self, monkeypatch):
        slept = []

        class Limit:
            def can_consume(self, tokens):
                assert tokens == 4
                return bool(slept)

            def expected_time(self, tokens):
                return 0.25

        worker = Worker()
        worker.connection.script.append(worker.stop)
        worker.restart_limit = Limit()
        monkeypatch.setattr("kombu.mixins.sleep", slept.append)
        worker.run(_tokens=4)
        assert slept == [0.25]

    def test_limit_is_once_a_second(self):
        limit = ConsumerMixin.restart_limit.__get__(object.__new__(ConsumerMixin))
        assert (limit.fill_rate, limit.capacity) == (1, 1)


class TestConsume:
    def test_limit_counts_waits(self):
        worker = Worker(nothing, TimeoutError(), nothing)
        assert list(worker.consume(limit=2)) == [None]
        assert worker.connection.script == [nothing]

    def test_timeout_begins_anew_with_each_event(self):
        script = [TimeoutError(), nothing, TimeoutError(), TimeoutError()]
        worker = Worker(*script)
        got = []
        with pytest.raises(TimeoutError):
            got.extend(worker.consume(timeout=2, safety_interval=1))
        assert worker.connection.script == []
        connection = worker.connection.clones[0]
        assert connection.log == [("connect", None), *["heartbeat"] * 3, "release"]
        assert "basic_cancel" in connection.channel.methods

    def test_closed_by_who_told_it_to_stop(self):
        worker = Worker()

        def close(connection):
            worker.should_stop = True
            raise OSError("closed")

        worker.connection.script.append(close)
        assert list(worker.consume()) == []

    def test_os_error_otherwise_ends_it(self):
        worker = Worker(OSError("broken"))
        with pytest.raises(OSError, match="broken"):
            list(worker.consume())

    def test_hooks(self):
        calls = []

        class Hooked(Worker):
            def on_iteration(self):
                calls.append("iteration")

            def on_connection_revived(self):
                calls.append("revived")

            def on_consume_end(self, connection, channel):
                calls.append("end")

        list(Hooked(nothing, nothing).consume(limit=2))
        assert calls == ["revived", "iteration", "iteration", "end"]

    def test_consumers_must_be_written(self):
        mixin = ConsumerMixin()
        mixin.connection = Connection([])
        with pytest.raises(NotImplementedError, match="ConsumerMixin"):
            list(mixin.consume())


class TestUndecodable:
    """Known fault 22: it was acknowledged, and so dropped in silence."""

    def test_rejected_and_logged_with_its_id(self, caplog):
        worker = Worker(deliver(b"no json"))
        list(worker.consume(limit=1))
        channel = worker.connection.clones[0].channel
        assert channel.named("basic_reject") == [{"args": (7,), "requeue": False}]
        assert "basic_ack" not in channel.methods
        record = next(each for each in caplog.records if each.levelno == logging.ERROR)
        assert "id-1" in record.getMessage()
        assert "no json" not in record.getMessage()

    def test_the_old_way(self):
        worker = Worker(deliver(b"no json"))
        worker.ack_undecodable = True
        list(worker.consume(limit=1))
        channel = worker.connection.clones[0].channel
        assert channel.methods.count("basic_ack") == 1
        assert "basic_reject" not in channel.methods


class TestProducer:
    def test_on_a_connection_of_its_own_until_consuming_ends(self):
        class Both(ConsumerProducerMixin, Worker):
            pass

        worker = Both()
        used = []

        def publish(connection):
            worker.producer.publish("text", routing_key="k")
            worker.producer.publish("text", routing_key="k")
            used.append(worker.producer_connection)
            assert worker.producer_connection is not connection

        worker.connection.script.append(publish)
        list(worker.consume(limit=1))
        assert used[0].channel.methods == ["basic_publish"] * 2
        assert used[0].log == [("connect", None), "release"]
        assert worker.producer_connection is not used[0]


class TestErrors:
    def test_maybe_conn_error(self):
        worker = Worker()

        def fail(error):
            raise error

        assert worker.maybe_conn_error(lambda: 5) == 5
        assert worker.maybe_conn_error(lambda: fail(ConnectionResetError())) is None
        assert worker.maybe_conn_error(lambda: fail(LookupError())) is None
        with pytest.raises(ZeroDivisionError):
            worker.maybe_conn_error(lambda: fail(ZeroDivisionError()))


def test_heartbeats_are_looked_after_while_messages_come_without_a_pause():
    worker = Worker()
    worker.connection.script += [lambda connection: sleep(0.02) for _ in range(10)]
    list(worker.consume(limit=10, safety_interval=0.05))
    assert worker.connection.clones[0].log.count("heartbeat") >= 2
