from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kombu.common import PREFETCH_COUNT_MAX, QoS


class TestCounts:
    @pytest.mark.parametrize(
        ("initial", "most", "n", "then"),
        [
            (10, None, 1, 11),
            (10, None, 0, 10),
            (10, None, -5, 10),
            (10, 12, 5, 12),
            (3, 2, 1, 2),
            (0, None, 5, 0),
            (None, None, 5, 0),
        ],
    )
    def test_increment(self, initial, most, n, then):
        assert QoS(print, initial, max_prefetch=most).increment_eventually(n) == then

    @pytest.mark.parametrize(
        ("initial", "n", "then"), [(10, 3, 7), (10, 99, 1), (1, 1, 1), (0, 1, 0)]
    )
    def test_decrement(self, initial, n, then):
        assert QoS(print, initial).decrement_eventually(n) == then

    def test_broker_is_told_only_of_changes(self):
        told = []
        qos = QoS(lambda prefetch_count: told.append(prefetch_count), 10)
        qos.increment_eventually()
        assert told == []
        assert qos.prev is None
        qos.update()
        qos.update()
        qos.set(5)
        qos.set(5)
        assert told == [11, 5]
        assert qos.prev == 5

    def test_too_many_for_the_protocol_is_no_limit(self, caplog):
        told = []
        qos = QoS(lambda prefetch_count: told.append(prefetch_count), PREFETCH_COUNT_MAX)
        qos.update()
        qos.increment_eventually()
        qos.update()
        assert told == [PREFETCH_COUNT_MAX, 0]
        assert "65536" in caplog.text

    def test_failed_callback_is_tried_again(self):
        told = []

        def fail_once(prefetch_count):
            told.append(prefetch_count)
            if len(told) == 1:
                raise ConnectionResetError

        qos = QoS(fail_once, 3)
        with pytest.raises(ConnectionResetError):
            qos.update()
        qos.update()
        assert told == [3, 3]

    def test_threads(self):
        qos = QoS(print, 1)
        with ThreadPoolExecutor(8) as pool:
            changes = [pool.submit(qos.increment_eventually) for _ in range(800)]
            changes += [pool.submit(qos.decrement_eventually) for _ in range(300)]
            for change in changes:
                change.result(10)
        assert 501 <= qos.value <= 801  # decrements at 1 are lost, increments never


class QoSMachine(RuleBasedStateMachine):
    """Whatever is asked: the count stays in bounds, and the broker knows the last one set."""

    @initialize(initial=st.integers(0, 100), most=st.none() | st.integers(100, 200))
    def make(self, initial, most):
        self.told = []
        self.unlimited = initial == 0
        self.most = most
        self.qos = QoS(lambda prefetch_count: self.told.append(prefetch_count), initial, most)

    @rule(n=st.integers(-3, 150))
    def increment(self, n):
        self.qos.increment_eventually(n)

    @rule(n=st.integers(0, 150))
    def decrement(self, n):
        self.qos.decrement_eventually(n)

    @rule()
    def update(self):
        assert self.qos.update() == self.qos.value == self.told[-1] == self.qos.prev

    @invariant()
    def in_bounds(self):
        if hasattr(self, "qos"):
            assert (self.qos.value == 0) == self.unlimited
            assert self.most is None or self.qos.value <= self.most
            assert all(a != b for a, b in zip(self.told, self.told[1:], strict=False))


TestQoSMachine = QoSMachine.TestCase
TestQoSMachine.settings = settings(max_examples=30)
