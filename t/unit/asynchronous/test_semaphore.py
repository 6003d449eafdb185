from __future__ import annotations

from kombu.asynchronous.semaphore import DummyLock, LaxBoundedSemaphore


def test_calls_wait_for_their_turn():
    called = []
    semaphore = LaxBoundedSemaphore(2)
    assert [semaphore.acquire(called.append, n) for n in range(4)] == [True, True, False, False]
    assert called == [0, 1]
    semaphore.release()
    assert called == [0, 1, 2]
    semaphore.release()
    assert (called, semaphore.value) == ([0, 1, 2, 3], 0)


def test_releasing_too_often_does_not_raise_the_limit():
    semaphore = LaxBoundedSemaphore(2)
    for _ in range(5):
        semaphore.release()
    assert semaphore.value == 2


def test_grow_lets_waiting_calls_run_and_shrink_has_a_floor():
    called = []
    semaphore = LaxBoundedSemaphore(0)
    semaphore.acquire(
        called.append,
        "x",
    )
    semaphore.grow(2)
    assert (called, semaphore.value, semaphore.initial_value) == (["x"], 1, 2)
    semaphore.shrink(5)
    assert (semaphore.value, semaphore.initial_value) == (0, 0)


def test_clear_forgets_those_that_wait():
    called = []
    semaphore = LaxBoundedSemaphore(1)
    semaphore.acquire(called.append, 1)
    semaphore.acquire(called.append, 2)
    semaphore.clear()
    assert (semaphore.value, called) == (1, [1])
    semaphore.release()
    assert called == [1]


def test_dummy_lock():
    with DummyLock():
        pass
