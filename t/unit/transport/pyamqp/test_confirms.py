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
