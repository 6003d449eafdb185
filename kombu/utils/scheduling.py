"""Who is served next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .imports import symbol_by_name

__all__ = ("FairCycle", "priority_cycle", "round_robin_cycle", "sorted_cycle")

CYCLE_ALIASES = {
    "priority": "kombu.utils.scheduling:priority_cycle",
    "round_robin": "kombu.utils.scheduling:round_robin_cycle",
    "sorted": "kombu.utils.scheduling:sorted_cycle",
}


class FairCycle:
    """Asks resources in turn, so that none starves another.

    Arguments:
        fun: called as ``fun(resource, callback, **kwargs)``.
        resources: what to ask; may change in between.
        predicate: exception type (or tuple of types) that means that a resource has nothing.
    """

    def __init__(
        self, fun: Callable[..., Any], resources: list[Any], predicate: Any = Exception
    ) -> None:
        self.fun = fun
        self.resources = resources
        self.predicate = predicate
        self.pos = 0

    def get(self, callback: Callable[..., Any], **kwargs: Any) -> Any:
        """The result of the next resource that has something.

        Raises:
            ``predicate``: each was asked once, and none has.
        """
        for _ in range(max(len(self.resources), 1)):
            try:
                return self.fun(self._next(), callback, **kwargs)
            except self.predicate as exc:
                nothing = exc
        raise nothing

    def close(self) -> None:
        """Nothing to close here; subclasses may have something."""

    def _next(self) -> Any:
        # More than one try, as another thread may shorten the list in between.
        while True:
            position = self.pos if self.pos < len(self.resources) else 0
            try:
                resource = self.resources[position]
            except IndexError:
                if not self.resources:
                    raise _first(self.predicate)() from None
                continue
            self.pos = position + 1
            return resource

    def __repr__(self) -> str:
        return f"<FairCycle: {self.pos}/{len(self.resources)} {self.resources}>"


def _first(predicate: Any) -> Any:
    return predicate[0] if isinstance(predicate, tuple) else predicate


class round_robin_cycle:
    """Who was served goes to the end."""

    def __init__(self, it: Iterable[Any] | None = None) -> None:
        self.items: list[Any] = list(it or ())

    def update(self, it: Iterable[Any]) -> None:
        """Start over with other items."""
        self.items[:] = it

    def consume(self, n: int) -> list[Any]:
        """The next ``n`` items; they stay."""
        return self.items[:n]

    def rotate(self, last_used: Any) -> Any:
        """Put ``last_used`` last, if it is still there, and return it."""
        try:
            self.items.remove(last_used)
        except ValueError:
            return last_used
        self.items.append(last_used)
        return last_used


class priority_cycle(round_robin_cycle):
    """Always the order given."""

    def rotate(self, last_used: Any) -> Any:
        """Changes nothing."""


class sorted_cycle(priority_cycle):
    """Always in sorted order."""

    def consume(self, n: int) -> list[Any]:
        """The first ``n`` items in sorted order; they stay."""
        return sorted(self.items[:n])


def cycle_by_name(name: Any) -> Any:
    """The cycle class of an alias (``priority``, ``round_robin``, ``sorted``) or a dotted name."""
    return symbol_by_name(name, CYCLE_ALIASES)
