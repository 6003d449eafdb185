"""Every wait ends in time: dead, black-holed, stopped and blocking brokers, half-read frames."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import pytest
from amqp.exceptions import ConnectionForced, RecoverableConnectionError

from kombu.exceptions import OperationalError
from kombu.testing.faults import FaultProxy
from kombu.transport.pyamqp import ConnectionBlocked
from t.integration.amqp.conftest import receive, within

pytestmark = pytest.mark.server("rabbitmq")

LOST = (OperationalError, OSError, RecoverableConnectionError)
NO_RETRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0}


class TestPublish:
    def test_nobody_listens_the_first_time_and_every_time_after(self, connect):
        connection = connect("amqp://guest:guest@127.0.0.1:1//")
        for _ in range(3):
            with within(3), pytest.raises(LOST):
                connection.Producer().publish(
                    "x", routing_key="q", retry=True, retry_policy=NO_RETRY, timeout=1
                )

    def test_the_host_takes_connections_and_says_nothing(self, connect, proxy):
        proxy.set(blackhole=True)
        connection = connect(proxy.url, connect_timeout=0.5)
        for _ in range(2):
            with within(4), pytest.raises(LOST):
                connection.Producer().publish("x", routing_key="q", timeout=1)

    @pytest.mark.parametrize("fault", ["blackhole", "freeze"])
    def test_the_link_dies_with_confirms(self, connect, proxy, queue_of, fault):
        queue = queue_of()
        connection = connect(
            proxy.url, connect_timeout=0.5, transport_options={"confirm_publish": True}
        )
        producer = connection.Producer()
        producer.publish("x", routing_key=queue)
        proxy.set(**{fault: True})
        for _ in range(3):
            with within(5), pytest.raises(LOST):
                producer.publish("x", routing_key=queue, timeout=1)

    def test_buffers_fill_up_without_confirms(self, connect, proxy, queue_of):
        queue = queue_of()
        connection = connect(proxy.url, connect_timeout=0.5)
        channel = connection.default_channel
        channel.queue_declare(queue, passive=True)
        proxy.set(freeze=True)
        message = channel.prepare_message(b"x" * 1_000_000, content_encoding="binary")
        with within(20), pytest.raises(RecoverableConnectionError, match="timed out"):
            for _ in range(1000):
                channel.basic_publish(message, routing_key=queue, timeout=0.5)
        # Half a frame is out: this connection must not be written to any more.
        assert not connection.connected

    def test_the_broker_is_stopped(self, connect, broker, name):
        options = {"confirm_publish": True}
        connection = connect(broker.url, connect_timeout=0.5, transport_options=options)
        connection.default_channel.queue_declare(name, auto_delete=False)
        producer = connection.Producer()
        with broker.frozen():
            for _ in range(3):
                with within(5), pytest.raises(LOST):
                    producer.publish("x", routing_key=name, timeout=1)
        producer.publish("y", routing_key=name, timeout=10, retry=True)

    def test_the_broker_is_short_of_memory(self, connect, broker, name):
        blocked = []
        connection = connect(broker.url, transport_options={"on_blocked": blocked.append})
        channel = connection.default_channel
        channel.queue_declare(name, auto_delete=False)
        producer = connection.Producer()
        with broker.memory_alarm():
            with pytest.raises(ConnectionBlocked, match="memory"):
                for _ in range(200):
                    channel.basic_publish(
                        channel.prepare_message("x"), routing_key=name, timeout=0.3
                    )
                    time.sleep(0.01)
            for _ in range(2):
                with within(3), pytest.raises(LOST):
                    channel.basic_publish(
                        channel.prepare_message("x"), routing_key=name, timeout=0.5
                    )
            assert blocked
        producer.publish("after", routing_key=name, timeout=10)


class TestReading:
    def test_timeout_holds_in_the_middle_of_a_frame(self, connect, proxy, queue_of):
        queue = queue_of()
        connection = connect(proxy.url)
        channel = connection.default_channel
        received = []
        channel.basic_consume(queue, callback=received.append)
        other = connect()
        body = b"x" * 50_000
        proxy.set(rate=20_000, direction="down")
        message = channel.prepare_message(body, content_encoding="binary")
        other.default_channel.basic_publish(message, routing_key=queue)
        with within(1.5), pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.5)
        proxy.heal()
        connection.drain_events(timeout=10)
        assert received[0].body == body

    def test_timeout_holds_while_heartbeats_arrive(self, connect):
        connection = connect(heartbeat=2)
        connection.connect()
        with within(6.5), pytest.raises(TimeoutError):
            connection.drain_events(timeout=5)

    def test_small_segments(self, connect, proxy, queue_of):
        queue = queue_of()
        connection = connect(proxy.url)
        channel = connection.default_channel
        proxy.set(slice=3)
        for number in range(5):
            message = channel.prepare_message(str(number), content_encoding="utf-8")
            channel.basic_publish(message, routing_key=queue)
        received = receive(connection, channel, queue, 5)
        assert [message.body for message in received] == list("01234")

    def test_cut_in_the_middle(self, connect, proxy, queue_of):
        queue = queue_of()
        connection = connect(proxy.url)
        connection.default_channel.basic_consume(queue, callback=print)
        proxy.reset()
        with within(3), pytest.raises(connection.recoverable_connection_errors):
            connection.drain_events(timeout=2)
        assert not connection.connected

    def test_operation_timeout(self, connect, proxy, queue_of):
        queue = queue_of()
        connection = connect(proxy.url, transport_options={"operation_timeout": 0.5})
        channel = connection.default_channel
        proxy.set(blackhole=True)
        with within(2), pytest.raises(RecoverableConnectionError, match="no answer"):
            channel.queue_declare(queue, passive=True)

    def test_an_answer_that_comes_too_late_is_not_taken_for_another(self, connect, proxy, queue_of):
        first, second = queue_of("-1"), queue_of("-2")
        connection = connect(proxy.url, transport_options={"operation_timeout": 0.3})
        channel = connection.default_channel
        proxy.set(freeze=True, direction="down")
        with pytest.raises(RecoverableConnectionError, match="no answer"):
            channel.queue_declare(first, passive=True)
        proxy.heal()
        with within(5), suppress(RecoverableConnectionError):
            assert channel.queue_declare(second, passive=True).queue == second
        # As after any lost connection, the next one is another.
        assert connection.default_channel.queue_declare(second, passive=True).queue == second


class TestClosing:
    @pytest.mark.parametrize("what", ["channel", "connection"])
    def test_close_on_a_dead_link_is_bounded(self, connect, proxy, what):
        connection = connect(proxy.url, transport_options={"close_timeout": 0.5})
        channel = connection.channel()
        proxy.set(blackhole=True)
        with within(2):
            if what == "connection":
                connection.release()
            else:
                with pytest.raises(RecoverableConnectionError):
                    channel.close()
        assert not connection.connected


class TestHeartbeats:
    def test_a_dead_link_is_noticed_in_two_intervals_by_whoever_waits(self, connect, proxy):
        connection = connect(proxy.url, heartbeat=1)
        channel = connection.default_channel
        proxy.set(blackhole=True)
        with within(4), pytest.raises(ConnectionForced, match="heartbeats"):
            connection.drain_events()
        assert not connection.connected
        assert channel is not None

    def test_a_dead_link_is_noticed_by_heartbeat_check(self, connect, proxy):
        connection = connect(proxy.url, heartbeat=1)
        connection.connect()
        proxy.set(blackhole=True)
        with within(5), pytest.raises(ConnectionForced):
            for _ in range(50):
                connection.heartbeat_check(rate=2)
                time.sleep(0.1)

    def test_a_dead_link_is_noticed_by_a_publisher_without_confirms(self, connect, proxy, queue_of):
        queue = queue_of()
        connection = connect(proxy.url, heartbeat=1)
        producer = connection.Producer()
        producer.publish("x", routing_key=queue)
        proxy.set(blackhole=True)
        with within(4), pytest.raises(connection.recoverable_connection_errors):
            for _ in range(100):
                producer.publish("x", routing_key=queue)
                time.sleep(0.05)

    def test_unread_heartbeats_are_not_missing(self, connect):
        connection = connect(heartbeat=1)
        connection.connect()
        ends = time.monotonic() + 3.5
        while time.monotonic() < ends:
            connection.heartbeat_check(rate=2)
            time.sleep(0.25)
        assert connection.default_channel.queue_declare("", exclusive=True)

    def test_waiting_keeps_the_connection_alive(self, connect):
        connection = connect(heartbeat=1)
        connection.connect()
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=4)
        assert connection.default_channel.queue_declare("", exclusive=True)

    @pytest.mark.parametrize("timeout", [0, 0.1])
    def test_looking_often_keeps_the_connection_alive(self, connect, timeout):
        connection = connect(heartbeat=1)
        connection.connect()
        ends = time.monotonic() + 4
        while time.monotonic() < ends:
            with suppress(TimeoutError):
                connection.drain_events(timeout=timeout)
            time.sleep(0.02)
        assert connection.default_channel.queue_declare("", exclusive=True)

    def test_receiving_without_a_pause_keeps_the_connection_alive(self, connect, queue_of):
        queue = queue_of()
        producer = connect().Producer()
        connection = connect(heartbeat=1)
        received = []
        connection.default_channel.basic_consume(queue, callback=received.append, no_ack=True)
        over = threading.Event()

        def publish():
            while not over.wait(0.05):
                producer.publish("x", routing_key=queue)

        publishing = threading.Thread(target=publish)
        publishing.start()
        try:
            ends = time.monotonic() + 4
            while time.monotonic() < ends:
                connection.drain_events(timeout=5)
        finally:
            over.set()
            publishing.join()
        assert len(received) > 20
        assert connection.channel().queue_declare("", exclusive=True)

    def test_a_heartbeat_that_does_not_go_out_holds_up_nobody(self, connect, proxy):
        connection = connect(proxy.url, heartbeat=1)
        connection.connect()
        with suppress(TimeoutError):
            connection.drain_events(timeout=0)  # from now on it knows that nothing is sent
        proxy.set(freeze=True)
        due = time.monotonic() + 0.6
        while time.monotonic() < due:  # all buffers on the way fill up
            with suppress(BlockingIOError):
                while True:
                    connection.connection.sock.send(bytes(100_000))
            time.sleep(0.05)
        for timeout in (0, 0.2):
            with within(timeout + 0.4), pytest.raises(TimeoutError):
                connection.drain_events(timeout=timeout)
        with within(3), pytest.raises(connection.recoverable_connection_errors):
            connection.drain_events()

    def test_a_busy_application_with_auto_heartbeat(self, connect):
        connection = connect(heartbeat=1, transport_options={"auto_heartbeat": True})
        connection.connect()
        busy_until = time.monotonic() + 4
        while time.monotonic() < busy_until:
            time.sleep(0.1)  # the handler's work; nobody reads, nobody checks
        assert connection.default_channel.queue_declare("", exclusive=True)

    def test_its_thread_ends_with_the_connection(self, connect):
        connection = connect(heartbeat=1, transport_options={"auto_heartbeat": True})
        before = set(threading.enumerate())
        connection.connect()
        [thread] = set(threading.enumerate()) - before
        connection.release()
        thread.join(3)
        assert not thread.is_alive()


def test_failed_connects_leave_nothing_behind(connect, count_descriptors):
    with FaultProxy("127.0.0.1", 1) as dead:
        connection = connect(f"amqp://guest:guest@127.0.0.1:{dead.port}//", connect_timeout=0.5)
        transport = connection.transport
        before = count_descriptors()
        for _ in range(100):
            with pytest.raises(LOST):
                transport.establish_connection()
        assert count_descriptors() <= before + 5
