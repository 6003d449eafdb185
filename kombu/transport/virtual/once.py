"""What is said once and not again."""

from __future__ import annotations

import threading
from collections.abc import Hashable

#: How many things are remembered before the oldest may be said again.
_REMEMBERED = 10_000


class Once:
    """Remembers what was said; safe for use by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[Hashable, None] = {}

    def __call__(self, what: Hashable) -> bool:
        """Whether this is said for the first time."""
        with self._lock:
            if what in self._told:
                return False
            if len(self._told) >= _REMEMBERED:
                self._told.pop(next(iter(self._told)))
            self._told[what] = None
            return True
