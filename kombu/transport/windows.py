"""Many things cut into requests that a backend takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def windows(
    items: Iterable[Item], size: Callable[[Item], int], most: float, largest: float
) -> Iterator[list[Item]]:
    """Groups of neighbours; an item that is too large by itself stands alone.

    Arguments:
        size: of one, in bytes.
        most: how many may go together.
        largest: how many bytes may.
    """
    window: list[Item] = []
    total = 0
    for item in items:
        more = size(item)
        if window and (len(window) >= most or total + more > largest):
            yield window
            window, total = [], 0
        window.append(item)
        total += more
    if window:
        yield window
