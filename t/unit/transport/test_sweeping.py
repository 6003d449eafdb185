"""When a store's recurring work is due, and who does it."""

from __future__ import annotations

import threading

import pytest

from kombu.transport.sweeping import Sweep


def test_it_is_due_at_first_and_then_when_the_work_says() -> None:
    sweep, done = Sweep(), []

    def work(pause: float) -> float:
        done.append(pause)
        return pause

    assert sweep.is_due
    assert sweep.run(lambda: work(0.0))
    assert sweep.run(lambda: work(60.0))
    assert not sweep.run(lambda: work(0.0))
    assert done == [0.0, 60.0]
    assert not sweep.is_due


def test_an_earlier_time_counts_and_a_later_one_does_not() -> None:
    sweep = Sweep()
    sweep.run(lambda: 60.0)
    sweep.within(120.0)
    assert not sweep.is_due
    sweep.within(-1.0)
    sweep.within(30.0)
    assert sweep.is_due


def test_one_thread_does_it() -> None:
    sweep, runs = Sweep(), []
    together = threading.Barrier(4)

    def work() -> float:
        runs.append(threading.get_ident())
        return 60.0

    def come_by() -> None:
        together.wait(5)
        sweep.run(work)

    threads = [threading.Thread(target=come_by) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 1


def test_nobody_joins_in_while_it_is_done() -> None:
    sweep = Sweep()
    joined: list[bool] = []

    def work() -> float:
        sweep.within(0.0)
        joined.append(sweep.run(lambda: 0.0))
        return 60.0

    sweep.run(work)
    assert joined == [False]
    assert sweep.is_due  # what was said meanwhile is kept


def test_one_that_failed_is_not_tried_again_at_once() -> None:
    sweep = Sweep()

    def work() -> float:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        sweep.run(work)
    assert not sweep.is_due
    assert 0 < sweep.wakes_at < float("inf")


def test_changes_are_told() -> None:
    sweep, changes = Sweep(), []
    sweep.notify(lambda: changes.append(sweep.wakes_at))
    sweep.run(lambda: 60.0)
    sweep.within(120.0)
    sweep.within(30.0)
    assert len(changes) == 2
    assert changes[1] < changes[0]
