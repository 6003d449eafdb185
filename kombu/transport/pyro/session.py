"""One client as the broker process sees it: its view of the queues and what it holds."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Sequence

from kombu.transport.memory.broker import MemoryBroker
from kombu.transport.memory.store import MemoryStore
from kombu.transport.virtual.store import Claim


class Session:
    """Claims under receipts, each with the time at which its lease ends.

    Arguments:
        broker: whose queues they are.
        lease: seconds a claim lasts that is not renewed.
    """

    def __init__(self, broker: MemoryBroker, lease: float) -> None:
        self.store = MemoryStore(broker)
        self.lease = lease
        self._lock = threading.Lock()
        self._receipts = itertools.count(1)
        self._held: dict[int, tuple[Claim, float]] = {}

    def hold(self, claims: Iterable[Claim]) -> list[tuple[int, Claim]]:
        """Give a receipt for each claim."""
        until = time.monotonic() + self.lease
        with self._lock:
            held = [(next(self._receipts), claim) for claim in claims]
            self._held.update((receipt, (claim, until)) for receipt, claim in held)
        return held

    def renew(self, receipts: Iterable[int]) -> None:
        """Start these leases anew; lost ones are left alone."""
        until = time.monotonic() + self.lease
        with self._lock:
            for receipt in receipts:
                found = self._held.get(receipt)
                if found is not None:
                    self._held[receipt] = found[0], until

    def settle(self, done: Iterable[int], releases: Iterable[int]) -> None:
        """Forget what is done, give back the rest; lost claims are left alone."""
        self.store.settle(acks=self._end(done), releases=self._end(releases))

    def _end(self, receipts: Iterable[int]) -> Sequence[Claim]:
        with self._lock:
            return [held[0] for each in receipts if (held := self._held.pop(each, None))]

    def expire(self) -> None:
        """Give back what was not renewed in time."""
        now = time.monotonic()
        with self._lock:
            over = [receipt for receipt, (_, until) in self._held.items() if until < now]
        if over:
            self.settle((), over)

    def close(self) -> None:
        """The client is gone: give back all that it held."""
        with self._lock:
            self._held.clear()
        self.store.close()
