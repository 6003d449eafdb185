from __future__ import annotations

import gc
import os
import socket
import threading
import time

import pytest

from kombu.asynchronous import ERR, WRITE, Hub, get_event_loop, set_event_loop
from kombu.asynchronous.hub import Stop
from kombu.utils import eventio

POLLERS = [
    getattr(eventio, name)
    for name, available in (
        ("_epoll", hasattr(eventio.select, "epoll")),
        ("_kqueue", hasattr(eventio.select, "kqueue")),
        ("_poll", hasattr(eventio.select, "poll")),
        ("_select", True),
    )
    if available
]


@pytest.fixture(params=POLLERS, ids=lambda cls: cls.__name__)
def hub(request, monkeypatch):
    monkeypatch.setattr("kombu.asynchronous.descriptors.poll", request.param)
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    yield left, right
    left.close()
    right.close()


def cpu_seconds_of(function):
    before = time.process_time()
    function()
    return time.process_time() - before


class TestDescriptors:
    def test_reader_is_called_with_its_arguments_while_there_is_something(self, hub, pair):
        left, right = pair
        seen = []
        hub.add_reader(left, lambda *args: seen.append((args, left.recv(10))), 1, 2)
        right.send(b"x")
        hub.run_once()
        hub.call_soon(lambda: None)
        hub.run_once()
        assert seen == [((1, 2), b"x")]

    def test_reader_and_writer_of_one_descriptor_are_independent(self, hub, pair):
        left, right = pair
        seen = []
        hub.add_reader(left, lambda: seen.append(("r", left.recv(10))))
        hub.add_writer(left, seen.append, "w")
        right.send(b"x")
        hub.run_once()
        assert seen == [("r", b"x"), "w"]
        hub.remove_writer(left)
        right.send(b"y")
        hub.run_once()
        assert seen[2:] == [("r", b"y")]
        hub.add_writer(left, seen.append, "w")
        hub.remove_reader(left)
        right.send(b"z")
        hub.run_once()
        assert seen[3:] == ["w"]

    def test_generator_is_resumed_and_dropped_at_its_end(self, hub, pair):
        left, right = pair
        seen = []

        def read_twice():
            yield
            seen.append(left.recv(1))
            yield
            seen.append(left.recv(1))

        reader = read_twice()
        next(reader)
        hub.add_reader(left, reader)
        right.send(b"abc")
        hub.run_once()
        hub.run_once()
        assert seen == [b"a", b"b"]
        assert left.fileno() not in hub.readers

    def test_generator_that_ends_may_hand_its_descriptor_on(self, hub, pair):
        left, right = pair
        seen = []

        def read_one():
            yield
            seen.append(left.recv(1))
            hub.add_reader(left, lambda: seen.append(("next", left.recv(1))))

        reader = read_one()
        next(reader)
        hub.add_reader(left, reader)
        right.send(b"ab")
        hub.run_once()
        hub.run_once()
        assert seen == [b"a", ("next", b"b")]

    def test_consolidated_descriptors_are_handed_over_together(self, hub, pair):
        seen = []
        hub.consolidate_callback = seen.append
        for end in pair:
            hub.add(end, None, WRITE | ERR, consolidate=True)
        hub.run_once()
        assert [sorted(fds) for fds in seen] == [sorted(end.fileno() for end in pair)]
        hub.remove_writer(pair[0])
        hub.run_once()
        assert seen[1:] == [[pair[1].fileno()]]

    def test_writer_replaces_consolidation(self, hub, pair):
        consolidated, written = [], []
        hub.consolidate_callback = consolidated.append
        hub.add(pair[0], None, WRITE | ERR, consolidate=True)
        hub.add_writer(pair[0], written.append, 1)
        hub.run_once()
        assert (consolidated, written) == ([], [1])

    def test_hangup_of_the_peer_calls_the_writer(self, hub):
        reading, writing = os.pipe()
        seen = []
        try:
            hub.add_writer(writing, seen.append, "gone")
            os.close(reading)
            hub.run_once()
            assert seen == ["gone"]
        finally:
            hub.remove(writing)
            os.close(writing)

    def test_error_in_a_callback_leaves_the_loop_and_keeps_the_reader(self, hub, pair):
        left, right = pair

        def refuse():
            left.recv(10)
            raise ConnectionResetError("gone")

        hub.add_reader(left, refuse)
        right.send(b"x")
        with pytest.raises(ConnectionResetError):
            hub.run_once()
        assert left.fileno() in hub.readers

    def test_add_of_a_closed_descriptor_raises_and_registers_nothing(self, hub):
        end, other = socket.socketpair()
        number = end.fileno()
        end.close()
        other.close()
        with pytest.raises((OSError, ValueError)):
            hub.add_reader(end, print)
        assert number not in hub.readers

    @pytest.mark.parametrize("thing", [None, "x", object()])
    def test_what_is_no_descriptor(self, hub, thing):
        with pytest.raises(TypeError):
            hub.poller.register(thing, eventio.READ)
        assert hub.poller.unregister(thing) is None

    def test_remove_of_something_unknown_is_no_error(self, hub):
        hub.remove(9999)
        hub.remove_reader(9999)
        hub.remove_writer(9999)

    def test_callback_may_remove_another_ready_descriptor(self, hub, pair):
        left, right = pair
        seen = []

        def read(mine, other):
            seen.append(mine)
            hub.remove(other)

        hub.add_reader(left, read, left, right)
        hub.add_reader(right, read, right, left)
        left.send(b"x")
        right.send(b"x")
        hub.run_once()
        assert len(seen) == 1


class TestClosedDescriptor:
    """A descriptor closed behind the loop's back must not make it spin."""

    def run_for_200_ms(self, hub):
        done = []
        hub.call_later(0.2, done.append, 1)
        while not done:
            hub.run_once()

    def test_closed(self, hub):
        left, right = socket.socketpair()
        hub.add_reader(left, pytest.fail)
        _ = hub.poller
        left.close()
        right.close()
        assert cpu_seconds_of(lambda: self.run_for_200_ms(hub)) < 0.1

    def test_closed_here_but_open_in_a_copy(self, hub):
        left, right = socket.socketpair()
        copy = os.dup(left.fileno())

        def read():
            raise OSError(9, "Bad file descriptor")

        hub.add_reader(left, read)
        left.close()
        right.send(b"x")
        try:
            try:
                hub.run_once()
            except OSError as exc:
                assert exc.errno == 9
            assert cpu_seconds_of(lambda: self.run_for_200_ms(hub)) < 0.1
        finally:
            os.close(copy)
            right.close()

    def test_others_go_on(self, hub, pair):
        left, right = socket.socketpair()
        seen = []
        hub.add_reader(pair[0], lambda: seen.append(pair[0].recv(10)))
        hub.add_reader(left, pytest.fail)
        _ = hub.poller
        left.close()
        right.close()
        pair[1].send(b"x")
        self.run_for_200_ms(hub)
        assert seen == [b"x"]


class TestCallbacks:
    def test_call_soon_runs_in_order_with_arguments(self, hub):
        seen = []
        for number in range(3):
            hub.call_soon(seen.append, number)
        hub.run_once()
        assert seen == [0, 1, 2]

    def test_call_soon_returns_a_promise_that_can_be_cancelled(self, hub):
        seen = []
        hub.call_soon(seen.append, 1).cancel()
        hub.run_once()
        assert seen == []

    def test_error_leaves_the_loop_and_the_others_keep_their_turn(self, hub):
        seen = []
        hub.call_soon(lambda: 1 / 0)
        hub.call_soon(seen.append, "second")
        with pytest.raises(ZeroDivisionError):
            hub.run_once()
        hub.run_once()
        assert seen == ["second"]

    def test_call_soon_from_another_thread_wakes_the_loop(self, hub):
        woken_after = []
        ready = threading.Event()

        def call_from_outside():
            ready.wait(5)
            started = time.monotonic()
            hub.call_soon(lambda: (woken_after.append(time.monotonic() - started), hub.stop()))

        thread = threading.Thread(target=call_from_outside)
        thread.start()
        hub.call_later(30, pytest.fail)
        hub.call_soon(ready.set)
        hub.run_forever()
        thread.join(5)
        assert woken_after[0] < 0.5

    def test_no_wake_up_is_lost(self, hub):
        """Callbacks from a thread arrive at once, however the loop and it interleave."""
        total = 300
        arrived = threading.Semaphore(0)

        def send():
            for _ in range(total):
                hub.call_soon(arrived.release)
                assert arrived.acquire(timeout=2), "wake-up lost"
            hub.stop()

        thread = threading.Thread(target=send)
        hub.call_soon(thread.start)
        hub.run_forever()
        thread.join(5)
        assert not thread.is_alive()

    def test_on_tick_runs_before_each_wait(self, hub):
        seen = []
        hub.on_tick.add(lambda: (seen.append("tick"), hub.call_soon(lambda: None)))
        hub.run_once()
        hub.run_once()
        assert seen == ["tick", "tick"]


class TestTimers:
    def test_due_timer_is_called_and_the_wait_ends_for_it(self, hub):
        seen = []
        started = time.monotonic()
        hub.call_later(0.05, seen.append, 1)
        while not seen:
            hub.run_once()
        assert 0.04 < time.monotonic() - started < 1

    def test_call_repeatedly_until_cancelled(self, hub):
        seen = []
        entry = hub.call_repeatedly(0.005, seen.append, 1)
        while len(seen) < 3:
            hub.run_once()
        entry.cancel()
        called = len(seen)
        hub.call_later(0.03, hub.stop)
        hub.run_forever()
        assert len(seen) == called

    def test_error_is_logged_and_the_next_timer_runs(self, hub, caplog):
        seen = []
        hub.call_later(0, lambda: 1 / 0)
        hub.call_later(0, seen.append, 1)
        hub.run_once()
        assert seen == [1]
        assert "ZeroDivisionError" in caplog.text

    def test_propagate_errors(self, hub):
        hub.propagate_errors = (ConnectionError,)
        hub.call_later(0, lambda: (_ for _ in ()).throw(ConnectionError("lost")))
        with pytest.raises(ConnectionError):
            hub.run_once()

    def test_at_most_max_timers_and_no_sleep_when_more_are_due(self, hub):
        seen = []
        for number in range(25):
            hub.call_later(0, seen.append, number)
        assert hub.fire_timers(max_timers=10) == 0
        assert seen == list(range(10))

    def test_delay_is_that_of_the_next_timer(self, hub):
        hub.call_later(0.5, print)
        assert 0.3 < hub.fire_timers() <= 0.5
        hub.timer.clear()
        assert hub.fire_timers() == 1
        hub.call_later(60, print)
        assert hub.fire_timers(max_delay=1.5) == 1.5


class TestLife:
    def test_stop_ends_run_forever_and_the_generator(self, hub):
        hub.call_later(0.01, hub.stop)
        hub.run_forever()
        loop = hub.create_loop()
        hub.stop()
        with pytest.raises(Stop):
            next(loop)
        with pytest.raises(StopIteration):
            next(loop)

    def test_close_runs_what_is_ready_and_logs_errors(self, hub, caplog):
        seen = []
        hub.on_close.add(seen.append)
        hub.call_soon(lambda: 1 / 0)
        hub.call_soon(seen.append, "ready")
        hub.close()
        assert seen == [hub, "ready"]
        assert "ZeroDivisionError" in caplog.text

    def test_reset_forgets_descriptors_and_keeps_timers_and_ticks(self, hub, pair):
        hub.add_reader(pair[0], pytest.fail)
        entry = hub.call_later(60, print)
        hub.on_tick.add(print)
        pair[1].send(b"x")
        hub.reset()
        hub.on_tick.clear()
        hub.call_soon(lambda: None)
        hub.run_once()
        assert not hub.readers
        assert [scheduled.entry for scheduled in hub.timer.queue] == [entry]

    def test_no_descriptor_is_left_after_close(self):
        def count():
            gc.collect()
            return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

        before = count()
        for _ in range(20):
            hub = Hub()
            hub.call_soon(lambda: None)
            hub.run_once()
            hub.close()
        assert count() <= before

    def test_event_loop_of_the_process(self):
        previous = get_event_loop()
        hub = Hub()
        try:
            assert set_event_loop(hub) is hub
            assert get_event_loop() is hub
        finally:
            set_event_loop(previous)

    def test_repr_shows_what_is_watched(self, hub, pair):
        def on_readable():
            pass

        hub.add_reader(pair[0], on_readable, "q")
        hub.add_writer(pair[1], on_readable)
        left, right = (end.fileno() for end in pair)
        assert hub.repr_active() == f"({left})on_readable('q')->R!, ({right})on_readable()->W"
        assert hub.repr_events([(left, 1), (9999, 4)]) == (
            f"on_readable('q')({left})->R, (GONE)(9999)->W"
        )
        assert repr(hub).endswith("R:1 W:1>")


def test_many_callbacks_at_once_are_no_burden():
    hub = Hub()
    begun = time.process_time()
    for _ in range(20_000):
        hub.call_soon(int, 1)
    assert time.process_time() - begun < 2
    hub.close()
