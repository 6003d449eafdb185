"""Rate limits."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Any

__all__ = ("TokenBucket",)


class TokenBucket:
    """The token bucket algorithm, with a queue of things that wait for tokens.

    A bucket starts full. Consuming takes tokens out of it, time puts them back, up to
    ``capacity``. Not thread-safe.

    Arguments:
        fill_rate: tokens per second.
        capacity: most tokens the bucket holds.
    """

    #: Tokens per second.
    fill_rate: float | None = None
    #: Most tokens the bucket holds.
    capacity: float = 1
    #: Monotonic time of the last consumption, in seconds.
    timestamp: float | None = None

    def __init__(self, fill_rate: float, capacity: float = 1) -> None:
        self.capacity = float(capacity)
        self.fill_rate = float(fill_rate)
        self.timestamp = monotonic()
        self.contents: deque[Any] = deque()
        self._tokens = self.capacity

    def add(self, item: Any) -> None:
        """Let ``item`` wait."""
        self.contents.append(item)

    def pop(self) -> Any:
        """Take out the item that has waited longest; ``IndexError`` when there is none."""
        return self.contents.popleft()

    def clear_pending(self) -> None:
        """Forget all items that wait."""
        self.contents.clear()

    def can_consume(self, tokens: float = 1) -> bool:
        """Take ``tokens`` if there are as many, and say whether they were taken."""
        available = self._refill()
        if tokens > available:
            return False
        self._tokens = available - tokens
        return True

    def expected_time(self, tokens: float = 1) -> float:
        """Seconds until ``tokens`` may be consumed.

        The times in between are left out of it: more than ``capacity`` is never available.
        """
        missing = max(tokens, self._refill()) - self._tokens
        return missing / self.fill_rate if self.fill_rate or missing else 0.0  # type: ignore[operator]

    def _refill(self) -> float:
        now = monotonic()
        if self._tokens < self.capacity:
            gained = (self.fill_rate or 0.0) * (now - (self.timestamp or now))
            self._tokens = min(self.capacity, self._tokens + gained)
        self.timestamp = now
        return self._tokens
