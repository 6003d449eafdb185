"""How long what is being done may take in all, however deep inside.

A publish or an ``ensure`` with a ``timeout`` sets a deadline; connects and commands on the way,
which have limits of their own, ask :func:`time_left` and wait no longer than that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

__all__ = ("deadline_passed", "limited", "time_left")

#: Monotonic time at which what this thread or task is doing must end.
_deadline: ContextVar[float | None] = ContextVar("kombu_deadline", default=None)


@contextmanager
def limited(timeout: float | None) -> Iterator[None]:
    """Within, :func:`time_left` is ``timeout`` seconds at first, or less if it was less before.

    Arguments:
        timeout: ``None`` (or 0) sets no deadline and leaves one that there is.
    """
    outer = _deadline.get()
    end = monotonic() + timeout if timeout else None
    if end is None or (outer is not None and outer < end):
        end = outer
    token = _deadline.set(end)
    try:
        yield
    finally:
        _deadline.reset(token)


def time_left() -> float | None:
    """Seconds until the deadline, never below 1 ms; ``None`` without one."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.001, deadline - monotonic())


def deadline_passed() -> bool:
    """Whether the deadline is over."""
    deadline = _deadline.get()
    return deadline is not None and monotonic() >= deadline
