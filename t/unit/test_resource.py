from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from kombu.exceptions import LimitExceeded
from kombu.resource import Resource


class Thing:
    def __init__(self) -> None:
        self.closed = 0


class Things(Resource):
    """A pool that counts what it makes."""

    broken = False

    def setup(self) -> None:
        self.made: list[Thing] = []
        super().setup()

    def new(self) -> Thing:
        if self.broken:
            raise OSError("can't be made")
        self.made.append(Thing())
        return self.made[-1]

    def close_resource(self, resource: Any) -> None:
        resource.closed += 1

    @property
    def open(self) -> list[Thing]:
        return [thing for thing in self.made if not thing.closed]


def test_last_in_first_out_and_nothing_more_than_needed() -> None:
    pool = Things(limit=3)
    first, second = pool.acquire(), pool.acquire()
    first.release()
    second.release()
    assert pool.acquire() is second
    assert len(pool.made) == 2


def test_preload() -> None:
    assert len(Things(limit=3, preload=2).made) == 2


def test_limit_is_kept() -> None:
    pool = Things(limit=1)
    pool.acquire()
    with pytest.raises(LimitExceeded):
        pool.acquire()
    with pytest.raises(LimitExceeded):
        pool.acquire(block=True, timeout=0.05)


def test_waits_for_a_release() -> None:
    pool = Things(limit=1)
    held = pool.acquire()
    timer = threading.Timer(0.05, held.release)
    timer.start()
    assert pool.acquire(block=True, timeout=10) is held


def test_release_twice_gives_it_back_once() -> None:
    pool = Things(limit=2)
    held = pool.acquire()
    held.release()
    held.release()
    pool.release(held)
    assert pool.acquire() is not pool.acquire()


def test_stale_release_does_not_take_it_from_the_next_user() -> None:
    pool = Things(limit=1)
    held = pool.acquire()
    stale = held.release
    stale()
    assert pool.acquire() is held
    stale()
    with pytest.raises(LimitExceeded):
        pool.acquire()


def test_without_limit_each_is_closed_when_released() -> None:
    for limit in (None, 0):
        pool = Things(limit=limit)
        pool.acquire().release()
        assert pool.made[0].closed


def test_failing_to_make_one_takes_no_place() -> None:
    pool = Things(limit=1)
    pool.broken = True
    for _ in range(3):
        with pytest.raises(OSError, match="can't be made"):
            pool.acquire()
    pool.broken = False
    assert pool.acquire()


def test_failing_to_prepare_one_closes_it() -> None:
    class Picky(Things):
        def prepare(self, resource: Any) -> Any:
            raise OSError("not this one")

    pool = Picky(limit=1)
    with pytest.raises(OSError, match="not this one"):
        pool.acquire()
    assert pool.open == [] or len(pool.open) <= 1
    with pytest.raises(OSError, match="not this one"):
        pool.acquire()


def test_replace_makes_room() -> None:
    pool = Things(limit=1)
    held = pool.acquire()
    pool.replace(held)
    held.release()
    assert held.closed == 1
    assert pool.acquire() is not held


def test_resize() -> None:
    pool = Things(limit=3)
    held = [pool.acquire() for _ in range(3)]
    with pytest.raises(RuntimeError, match="was=3 now=1"):
        pool.resize(1)
    assert pool.limit == 3
    pool.resize(1, force=True)
    for thing in held:
        thing.release()
    assert len(pool.open) == 1
    pool.limit = 2
    assert pool.acquire() is not pool.acquire()


def test_shrinking_closes_the_idle_ones() -> None:
    pool = Things(limit=3)
    for thing in [pool.acquire() for _ in range(3)]:
        thing.release()
    pool.resize(1)
    assert len(pool.open) == 1


def test_force_close_all() -> None:
    pool = Things(limit=3)
    held = pool.acquire()
    pool.acquire().release()
    pool.force_close_all()
    assert pool.open == []
    held.release()
    with pytest.raises(RuntimeError, match="closed pool"):
        pool.acquire()


def test_close_all_and_go_on() -> None:
    pool = Things(limit=1)
    pool.acquire()
    pool.force_close_all(close_pool=False)
    assert pool.acquire()


def test_closing_ends_waiting() -> None:
    pool = Things(limit=1)
    pool.acquire()
    timer = threading.Timer(0.05, pool.force_close_all)
    timer.start()
    with pytest.raises(RuntimeError, match="closed pool"):
        pool.acquire(block=True, timeout=10)


def test_one_that_can_not_be_closed_keeps_no_other_open(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(Things):
        def close_resource(self, resource: Any) -> None:
            super().close_resource(resource)
            raise OSError("stuck")

    pool = Stuck(limit=2)
    for thing in [pool.acquire(), pool.acquire()]:
        thing.release()
    pool.force_close_all()
    assert pool.open == []
    assert "closing a resource" in caplog.text


def test_sixteen_threads() -> None:
    pool = Things(limit=4)
    in_use: Counter[int] = Counter()
    most = 0
    wrong: list[str] = []
    lock = threading.Lock()

    def work() -> None:
        nonlocal most
        for _ in range(200):
            thing = pool.acquire(block=True, timeout=30)
            with lock:
                in_use[id(thing)] += 1
                if in_use[id(thing)] > 1:
                    wrong.append("shared")
                most = max(most, sum(in_use.values()))
            with lock:
                in_use[id(thing)] -= 1
            thing.release()

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert 1 <= most <= 4
    assert len(pool.made) <= 4
    assert [pool.acquire() for _ in range(4)]


def test_who_waits_gets_what_is_given_back_and_no_new_one() -> None:
    waits = threading.Event()

    class Slow(Things):
        def release_resource(self, resource: Any) -> None:
            waits.wait(0.1)  # time enough for the other thread to make one

    pool = Slow(limit=1)
    first = pool.acquire()
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(pool.acquire(block=True, timeout=5)))
    thread.start()
    first.release()
    thread.join(5)
    assert got == pool.made == [first]
    assert not first.closed
