"""Limiting what runs at the same time in an event loop, without threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

__all__ = ("DummyLock", "LaxBoundedSemaphore")


class LaxBoundedSemaphore:
    """A semaphore for one thread: what can't run now is called when something is released.

    Lax: releasing more often than was acquired is no error and does not raise the limit.

    Arguments:
        value: how many may hold it at the same time.
    """

    def __init__(self, value: int) -> None:
        self.initial_value = self.value = value
        self._waiting: deque[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = deque()

    def acquire(
        self, callback: Callable[..., Any], *partial_args: Any, **partial_kwargs: Any
    ) -> bool:
        """Call ``callback`` now, or when it is its turn.

        Returns:
            whether it was called now.
        """
        if self.value <= 0:
            self._waiting.append((callback, partial_args, partial_kwargs))
            return False
        self.value -= 1
        callback(*partial_args, **partial_kwargs)
        return True

    def release(self) -> None:
        """Give back one; calls the first that waits."""
        if self.value < self.initial_value:
            self.value += 1
        self._call_waiting()

    def grow(self, n: int = 1) -> None:
        """Raise the limit by ``n``; calls those that can run now."""
        self.initial_value += n
        self.value += n
        self._call_waiting()

    def shrink(self, n: int = 1) -> None:
        """Lower the limit by ``n``, not below zero."""
        self.initial_value = max(self.initial_value - n, 0)
        self.value = max(self.value - n, 0)

    def clear(self) -> None:
        """Back to the start: everything released, those that wait forgotten."""
        self._waiting.clear()
        self.value = self.initial_value

    def _call_waiting(self) -> None:
        while self._waiting and self.value > 0:
            callback, args, kwargs = self._waiting.popleft()
            self.value -= 1
            callback(*args, **kwargs)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} at {id(self):#x} "
            f"value:{self.value} waiting:{len(self._waiting)}>"
        )


class DummyLock:
    """Stands in for a lock where only one thread runs."""

    def __enter__(self) -> DummyLock:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        return None
