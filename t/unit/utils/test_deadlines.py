from __future__ import annotations

from threading import Thread

from kombu.utils.deadlines import deadline_passed, limited, time_left


def test_inner_deadlines_only_shorten() -> None:
    assert time_left() is None
    with limited(10):
        with limited(60):
            assert 9 < (time_left() or 0) <= 10
        with limited(None):
            assert 9 < (time_left() or 0) <= 10
        with limited(1):
            assert (time_left() or 0) <= 1
        assert 9 < (time_left() or 0) <= 10
    assert time_left() is None
    with limited(None):
        assert time_left() is None


def test_passed() -> None:
    assert not deadline_passed()
    with limited(1e-9):
        while not deadline_passed():
            pass
        assert time_left() == 0.001


def test_other_threads_have_none() -> None:
    seen: list[float | None] = []
    with limited(10):
        thread = Thread(target=lambda: seen.append(time_left()))
        thread.start()
        thread.join()
    assert seen == [None]
