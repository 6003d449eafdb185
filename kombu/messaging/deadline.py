"""One limit in time for an operation made of several blocking calls."""

from __future__ import annotations

from time import monotonic


class Deadline:
    """A point in time by which something must be done.

    Arguments:
        seconds: from now; ``None`` never comes.
    """

    __slots__ = ("at", "seconds")

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.at = None if seconds is None else monotonic() + seconds

    def left(self) -> float | None:
        """Seconds that are left, never negative; ``None`` without a limit."""
        return None if self.at is None else max(0.0, self.at - monotonic())

    def passes_within(self, seconds: float) -> bool:
        """Whether it comes no later than ``seconds`` from now."""
        left = self.left()
        return left is not None and left <= seconds

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return self.passes_within(0.0)
