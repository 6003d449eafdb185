"""Logical clocks."""

from __future__ import annotations

import copy
import pickle
from threading import Thread

import pytest

from kombu.clocks import LamportClock, timetuple


def test_clock_goes_on():
    clock = LamportClock()
    steps = [clock.forward(), clock.forward(), clock.adjust(10), clock.adjust(3), clock.forward()]
    assert steps == [1, 2, 11, 12, 13]
    assert (clock.value, str(clock), repr(clock)) == (13, "13", "<LamportClock: 13>")
    assert LamportClock(5).forward() == 6


def test_clock_is_shared_by_threads():
    clock = LamportClock()
    times = []

    def tick():
        for _ in range(2000):
            times.append(clock.forward())

    threads = [Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(times) == list(range(1, 8001))


def event(clock, timestamp, process):
    return timetuple(clock, timestamp, process, None)


@pytest.mark.parametrize(
    ("first", "second", "less", "greater"),
    [
        ((1, 1.0, "a"), (2, 0.5, "a"), True, False),
        ((1, 1.0, "a"), (1, 2.0, "b"), True, False),
        ((1, 1.0, "b"), (1, 2.0, "a"), False, True),
        ((1, 1.0, "a"), (1, 2.0, "a"), False, False),
        ((0, 1.0, "a"), (1, 0.5, "b"), False, True),
        ((None, 1.0, "a"), (1, 2.0, "b"), True, False),
    ],
)
def test_order_of_events(first, second, less, greater):
    one, other = event(*first), event(*second)
    assert (one < other, one > other) == (less, greater)
    assert (one <= other, one >= other) == (not greater, not less)


def test_timetuple_is_a_tuple():
    made = timetuple(1, 2.0, "i", {"a": 1})
    assert (made.clock, made.timestamp, made.id, made.obj) == made == (1, 2.0, "i", {"a": 1})
    assert repr(made) == "_lamport(clock=1, timestamp=2.0, id=i {'a': 1})"
    assert pickle.loads(pickle.dumps(made)) == copy.copy(made) == made


@pytest.mark.parametrize(
    ("heap", "chosen"),
    [
        ([(1, 1.0, "a"), (3, 3.0, "b")], (1, 1.0, "a")),
        ([(5, 1.0, "a"), (5, 2.0, "b")], (5, 1.0, "a")),
        # As the published package chooses, with which it must agree:
        ([(5, 2, "b"), (5, 1, "a"), (5, 0, "0")], (5, 1, "a")),
        ([(5, 2, "z"), (5, 1, "y"), (5, 0, "x"), (6, 0, "a")], (5, 1, "y")),
        ([(1, 2, "z"), (1, 1, "y"), (1, 0, "x"), (1, 0, "a")], (1, 0, "x")),
        ([(1, 1.0, "alone")], (1, 1.0, "alone")),
    ],
)
def test_sort_heap(heap, chosen):
    assert LamportClock().sort_heap(heap) == chosen
