"""When a NATS client looks for delayed messages."""

from __future__ import annotations

from kombu.transport.nats.delays import AGAIN, EXPECTED, Expected


def looks(expected: Expected, now: float, until: float) -> list[float]:
    """The times at which a client that finds nothing looks."""
    times = []
    while (now := now + min(expected.pause(now), 20.0)) < until:
        times.append(round(now, 3))
    return times


def test_it_sleeps_until_the_next_is_due() -> None:
    expected = Expected()
    assert expected.pause(0.0) == float("inf")
    for at in (30.0, 10.0, 20.0):
        expected.add(at)
    assert expected.pause(0.0) == 10.0
    expected.discard(10.0)
    assert expected.pause(0.0) == 20.0


def test_what_another_client_moved_costs_few_looks() -> None:
    expected = Expected()
    expected.add(10.0)
    times = looks(expected, 0.0, 10.0 + EXPECTED + 1)
    assert times[:3] == [10.0, 10.0 + AGAIN, 10.0 + 2 * AGAIN]
    assert len(times) < 12
    assert expected.pause(40.0) == float("inf")


def test_what_is_late_delays_nothing_else() -> None:
    expected = Expected()
    expected.add(10.0)
    expected.add(13.1)
    times = looks(expected, 0.0, 14.0)
    assert {10.0, 13.1, 13.1 + AGAIN} <= set(times)
    expected.discard(13.1)
    assert expected.pause(14.0) <= 4.0


def test_many_cost_nothing_each_time() -> None:
    expected = Expected()
    for at in range(50_000, 0, -1):
        expected.add(float(at))
    for at in range(1, 50_000):  # a second or less; by looking at all, minutes
        expected.discard(float(at))
        assert expected.pause(at) == 1.0
