from __future__ import annotations

import threading

import pytest

from kombu.transport.pyamqp.turns import Reading


@pytest.fixture
def reading():
    return Reading()


def elsewhere(call, *args):
    """Call it in another thread; what it returned or raised."""
    results = []

    def run():
        try:
            results.append(call(*args))
        except TimeoutError as exc:
            results.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(5)
    assert results, "it hangs"
    return results[0]


def test_one_thread_at_a_time(reading):
    assert reading.begin()
    assert reading.begin()  # the same thread, within what it handles
    assert not elsewhere(reading.begin)
    reading.end()
    reading.end()
    assert elsewhere(reading.begin)


def test_nobody_reads_for_what_was_handled_meanwhile(reading):
    """Nothing more would come: reading would wait for ever."""
    assert not reading.begin(lambda: True)
    assert elsewhere(reading.wait, 5, lambda: True) is False
    assert elsewhere(reading.begin)


def test_waiting_ends_in_time(reading):
    assert reading.begin()
    assert isinstance(elsewhere(reading.wait, 0.05, None), TimeoutError)
    assert isinstance(elsewhere(reading.wait, 0, lambda: False), TimeoutError)


@pytest.mark.parametrize("handled", [False, True])
def test_who_waits_goes_on_when_the_turn_ends(reading, handled):
    assert reading.begin()
    answered = []
    results = []
    waits = threading.Event()

    def until():
        waits.set()
        return bool(answered)

    waiting = threading.Thread(target=lambda: results.append(reading.wait(5, until)), daemon=True)
    waiting.start()
    assert waits.wait(5)
    if handled:
        answered.append(1)
    reading.end()
    waiting.join(5)
    assert results == [not handled]
