from __future__ import annotations

import gc
import itertools
import threading
import weakref
from datetime import datetime, timedelta, timezone
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.asynchronous.timer import Entry, Timer, to_timestamp


def due_entries(timer):
    """Everything that is due now, in order."""
    return [entry for _, entry in itertools.takewhile(lambda step: step[1], timer)]


def test_nothing_scheduled():
    assert next(iter(Timer())) == (None, None)


def test_delay_is_capped_by_max_interval():
    timer = Timer(max_interval=7)
    timer.call_after(100, print)
    assert next(iter(timer)) == (7, None)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(-3, 3)), max_size=30))
def test_order_is_time_then_priority_then_age(schedule):
    timer = Timer()
    start = monotonic() - 100
    for age, (eta, priority) in enumerate(schedule):
        timer.call_at(start + eta, print, (age,), priority=priority)
    expected = sorted(range(len(schedule)), key=lambda age: (*schedule[age], age))
    assert [scheduled.entry.args[0] for scheduled in timer.queue] == expected
    assert [entry.args[0] for entry in due_entries(timer)] == expected


@given(st.lists(st.booleans(), max_size=300))
def test_cancelled_entries_are_never_called(cancelled):
    timer = Timer()
    entries = [timer.call_after(-1, print, (number,)) for number in range(len(cancelled))]
    for entry, cancel in zip(entries, cancelled, strict=True):
        if cancel:
            timer.cancel(entry)
    kept = [number for number, cancel in enumerate(cancelled) if not cancel]
    assert len(timer) == len(kept)
    assert [entry.args[0] for entry in due_entries(timer)] == kept


def test_cancelled_entries_do_not_pile_up():
    """A worker cancels a time limit per task, long before it is due."""
    timer = Timer()
    arguments = [{f"task {number}"} for number in range(1000)]
    references = [weakref.ref(argument) for argument in arguments]
    for argument in arguments:
        timer.cancel(timer.call_after(3600, print, (argument,)))
    del arguments, argument
    gc.collect()
    assert sum(reference() is not None for reference in references) < 100


def test_error_goes_to_on_error_or_the_log(caplog):
    errors = []
    Timer(on_error=errors.append).apply_entry(Entry(lambda: 1 / 0))
    assert isinstance(errors[0], ZeroDivisionError)
    assert not caplog.text
    Timer().apply_entry(Entry(lambda: 1 / 0))
    assert "Error in timer" in caplog.text


def test_call_repeatedly_goes_on_after_an_error():
    timer = Timer(on_error=lambda exc: None)
    calls = []

    def fail():
        calls.append(1)
        raise ValueError

    entry = timer.call_repeatedly(0, fail)
    for _, due in itertools.islice(timer, 3):
        timer.apply_entry(due)
    assert len(calls) == 3
    entry.cancel()
    assert due_entries(timer) == []


@pytest.mark.parametrize("zone", [None, timezone.utc, timezone(timedelta(hours=5))])
def test_datetime_becomes_monotonic(zone):
    now = datetime.now(zone or timezone.utc)
    if zone is None:
        now = now.replace(tzinfo=None)
    assert to_timestamp(now + timedelta(seconds=10)) == pytest.approx(monotonic() + 10, abs=0.5)


def test_eta_of_a_wrong_type_is_refused():
    with pytest.raises(TypeError, match="eta must be"):
        Timer().call_at("tomorrow", print)


def test_subclass_may_schedule_elsewhere():
    """As the gevent and eventlet pools of Celery do."""

    class Elsewhere(Timer):
        def _enter(self, eta, priority, entry, **kwargs):
            return (eta, priority, entry)

    eta, priority, entry = Elsewhere().call_after(5, print, (1,), priority=3)
    assert eta == pytest.approx(monotonic() + 5, abs=0.5)
    assert (priority, entry.args) == (3, (1,))


def test_what_another_thread_adds_while_cancelled_entries_go_is_kept():
    timer = Timer()
    threads = []

    class Watched(Entry):
        __slots__ = ()

        @property
        def canceled(self):
            if not threads:  # asked in the midst of throwing out
                thread = threading.Thread(target=timer.call_after, args=(1, print))
                threads.append(thread)
                thread.start()
                thread.join(0.2)
            return False

        @canceled.setter
        def canceled(self, value):
            pass

    for number in range(63):
        timer.call_after(1000 + number, print)
    timer.enter_after(2000, Watched(print))
    timer.call_after(1000, print)
    threads[0].join(5)
    assert len({id(waiting.entry) for waiting in timer.queue}) == len(timer) == 66
