from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kombu.transport.pyamqp.confirms import Confirms


@given(
    st.integers(0, 30),
    st.lists(st.tuples(st.integers(0, 35), st.booleans(), st.booleans()), max_size=30),
)
def test_as_a_list_would_do_it(count, answers):
    """Against the obvious: a list of states."""
    confirms = Confirms()
    numbers = [confirms.published() for _ in range(count)]
    assert numbers == list(range(1, count + 1))
    states = dict.fromkeys(numbers, "waiting")
    for number, multiple, ok in answers:
        (confirms.acked if ok else confirms.nacked)(number, multiple)
        for candidate, state in states.items():
            meant = candidate == number or (multiple and (candidate < number or number == 0))
            if meant and state == "waiting":
                states[candidate] = "acked" if ok else "nacked"
    for number, state in states.items():
        assert confirms.is_waiting(number) == (state == "waiting")
        assert (confirms.take_failure(number) is not None) == (state == "nacked")
        assert confirms.take_failure(number) is None
    for first in (1, 5, count + 1):
        waiting = [n for n, state in states.items() if state == "waiting" and n >= first]
        assert confirms.waits_for_any(first) == bool(waiting)


def test_what_was_not_sent_is_not_numbered():
    confirms = Confirms()
    assert confirms.published(3) == 1
    confirms.withdraw(2)
    assert not confirms.is_waiting(2)
    assert confirms.published() == 2
    confirms.acked(2, multiple=True)
    assert not confirms.waits_for_any(1)


def test_a_refusal_nobody_waits_for_is_not_kept():
    confirms = Confirms()
    number = confirms.published()
    confirms.forget(number)
    assert confirms.is_waiting(number)
    confirms.nacked(number, multiple=False)
    assert not confirms.is_waiting(number)
    assert confirms.take_failure(number) is None
