from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.transport.native_delayed_delivery import (
    MAX_LEVEL,
    calculate_routing_key,
    is_delay_exchange,
    level_name,
    without_deaths,
)

keys = st.from_regex(r"[a-z#]+(\.[a-z]+){0,3}", fullmatch=True)


@given(st.integers(1, 2**28 - 1), keys)
def test_the_levels_that_are_on_add_up_to_the_countdown(countdown, key):
    words = calculate_routing_key(countdown, key).split(".")
    bits, rest = words[: MAX_LEVEL + 1], words[MAX_LEVEL + 1 :]
    assert sum(2 ** (MAX_LEVEL - n) for n, bit in enumerate(bits) if bit == "1") == countdown
    assert ".".join(rest) == key


@given(st.integers(1, 2**28 - 1), st.integers(1, 2**28 - 1), keys)
def test_an_earlier_delay_is_taken_off(first, second, key):
    once = calculate_routing_key(first, key)
    assert calculate_routing_key(second, once) == calculate_routing_key(second, key)


def test_part_of_a_second_is_never_too_early():
    assert calculate_routing_key(1.2, "k") == calculate_routing_key(2, "k")


@pytest.mark.parametrize(("countdown", "key"), [(0, "k"), (-1, "k"), (5, "")])
def test_refused(countdown, key):
    with pytest.raises(ValueError):
        calculate_routing_key(countdown, key)


def test_names():
    assert level_name(5) == "celery_delayed_5"
    assert level_name(5, "pre") == "pre_celery_delayed_5"
    assert is_delay_exchange("celery_delayed_27")
    assert is_delay_exchange("pre_celery_delayed_0")
    assert not is_delay_exchange("celery_delayed_delivery")
    assert not is_delay_exchange("celery")


def test_deaths_are_forgotten():
    headers = {"id": 1, "x-death": [], "x-first-death-queue": "q", "x-mine": 2}
    assert without_deaths(headers) == {"id": 1, "x-mine": 2}
