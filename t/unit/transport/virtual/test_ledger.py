"""The ledger as a state machine against a plain model."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kombu.transport.virtual.ledger import Ledger

CONSUMERS = st.sampled_from(["one", "two", None])


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ledger: Ledger[int] = Ledger()
        self.out: list[tuple[int, str | None]] = []
        self.limit = 0
        self.limits: dict[str, int] = {}
        self.next = 1

    @rule(limit=st.integers(0, 4))
    def channel_limit(self, limit: int) -> None:
        self.ledger.set_limit(limit)
        self.limit = limit

    @rule(consumer=st.sampled_from(["one", "two"]), limit=st.integers(0, 3))
    def open(self, consumer: str, limit: int) -> None:
        self.ledger.open_consumer(consumer, limit)
        self.limits[consumer] = limit

    @rule(consumer=st.sampled_from(["one", "two"]))
    def shut(self, consumer: str) -> None:
        self.ledger.close_consumer(consumer)
        self.limits.pop(consumer, None)

    @rule(consumer=CONSUMERS)
    def deliver(self, consumer: str | None) -> None:
        self.ledger.deliver(self.next, self.next, consumer)
        self.out.append((self.next, consumer))
        self.next += 1

    @rule(data=st.data(), multiple=st.booleans())
    def settle(self, data: Any, multiple: bool) -> None:
        tag = data.draw(st.integers(0, self.next + 1))
        tags = [tag for tag, _ in self.out]
        if multiple and tag == 0:
            expected = tags
        elif tag not in tags:
            expected = []
        elif multiple:
            expected = tags[: tags.index(tag) + 1]
        else:
            expected = [tag]
        assert [each.tag for each in self.ledger.settle(tag, multiple)] == expected
        self.out = [each for each in self.out if each[0] not in expected]

    @rule()
    def recover(self) -> None:
        assert [each.tag for each in self.ledger.take_all()] == [tag for tag, _ in self.out]
        self.out = []

    @invariant()
    def what_is_out_is_known(self) -> None:
        assert [each.tag for each in self.ledger.deliveries] == [tag for tag, _ in self.out]

    @invariant()
    def credit_is_what_the_limits_leave(self) -> None:
        held = sum(consumer is not None for _, consumer in self.out)
        for name in (None, "one", "two"):
            left = []
            if self.limit:
                left.append(max(self.limit - held, 0))
            if name is not None and self.limits.get(name):
                own = sum(consumer == name for _, consumer in self.out)
                left.append(max(self.limits[name] - own, 0))
            assert self.ledger.credit(name) == (min(left) if left else None)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_tag_goes_out_once() -> None:
    ledger: Ledger[str] = Ledger()
    ledger.deliver("t", "message", "one")
    with pytest.raises(ValueError, match="'t'"):
        ledger.deliver("t", "message", "one")


def test_threads_leave_no_credit_behind() -> None:
    """Deliveries, some under one tag, acks of one and of many, all at once."""
    ledger: Ledger[int] = Ledger(limit=100_000)
    ledger.open_consumer("one", 100_000)
    delivered = threading.Event()
    gone: list[Any] = []

    def deliver(first: int) -> None:
        for tag in range(first, first + 10_000):
            ledger.offer(tag, tag, "one")
            ledger.offer("shared", tag, "one" if tag % 2 else None)

    def settle(multiple: bool) -> None:
        while not delivered.is_set() or len(ledger):
            for each in ledger.deliveries:
                gone.extend(ledger.settle(each.tag, multiple))

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        settling = [threading.Thread(target=settle, args=[multiple]) for multiple in (False, True)]
        delivering = [threading.Thread(target=deliver, args=[first]) for first in (0, 10_000)]
        for thread in (*settling, *delivering):
            thread.start()
        for thread in delivering:
            thread.join()
        delivered.set()
        for thread in settling:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    assert ledger.credit("one") == ledger.credit() == 100_000
    tags = [each.tag for each in gone if each.tag != "shared"]
    assert sorted(tags) == list(range(20_000))
