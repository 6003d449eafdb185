"""How long what is being done may take in all, however deep inside.

A publish or an ``ensure`` with a ``timeout`` sets a deadline; connects and commands on the way,
which have limits of their own, ask :func:`time_left` and wait no longer than that.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from time import monotonic

__all__ = ("deadline_passed", "limited", "time_left")

#: Monotonic time at which what this thread or task is doing must end.
_deadline: ContextVar[float | None] = ContextVar("kombu_deadline", default=None)


class limited:
    """Context: :func:`time_left` is ``timeout`` seconds at first, or less if it was less before.

    Arguments:
        timeout: ``None`` (or 0) sets no deadline and leaves one that there is.
    """

    __slots__ = ("_timeout", "_token")

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._token: Token[float | None] | None = None

    def __enter__(self) -> None:
        if not self._timeout:
            return
        outer = _deadline.get()
        end = monotonic() + self._timeout
        self._token = _deadline.set(end if outer is None else min(outer, end))

    def __exit__(self, *exc_info: object) -> None:
        if self._token is not None:
            _deadline.reset(self._token)
            self._token = None


def time_left() -> float | None:
    """Seconds until the deadline, never below 1 ms; ``None`` without one."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.001, deadline - monotonic())


def deadline_passed() -> bool:
    """Whether the deadline is over."""
    deadline = _deadline.get()
    return deadline is not None and monotonic() >= deadline
