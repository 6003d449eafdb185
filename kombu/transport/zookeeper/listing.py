"""What is known of a queue's entries, so that a claim doesn't list all of them again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from kombu.transport.zookeeper.paths import ENTRY_PREFIX
from kombu.transport.zookeeper.session import Session

#: A listing is made again at most this share of the time, however fast entries come and go.
LISTING_SHARE = 0.1


class Listing:
    """The entries of one queue in delivery order; watched, so that idle costs nothing.

    Arguments:
        on_change: called, from the client's thread, when entries came or went.
    """

    def __init__(self, session: Session, path: str, on_change: Callable[[], None]) -> None:
        self.session = session
        self.path = path
        self.on_change = on_change
        self.stale = True
        self._names: deque[str] = deque()
        self._listed_at = 0.0
        self._listing_took = 0.0

    def _changed(self, event: Any) -> None:
        """The children watch fired (it fires once; the next listing sets it again)."""
        self.stale = True
        self.on_change()

    def start_over(self) -> None:
        """An entry came back in front of those known: list again before the next take."""
        self._names.clear()
        self.stale = True

    def _may_list(self) -> bool:
        if not self.stale:
            return False
        pause = self._listing_took / LISTING_SHARE
        return not self._names or time.monotonic() - self._listed_at >= pause

    def take(self, count: int) -> list[str]:
        """Up to ``count`` names, first to be delivered first; they may be gone already."""
        if self._may_list():
            self._list()
        names = self._names
        return [names.popleft() for _ in range(min(count, len(names)))]

    def _list(self) -> None:
        begin = time.monotonic()
        self.stale = False
        try:
            names = self.session.children(self.path, watch=self._changed)
        except BaseException:
            self.stale = True
            raise
        self._names = deque(sorted(name for name in names if name.startswith(ENTRY_PREFIX)))
        self._listed_at = time.monotonic()
        self._listing_took = self._listed_at - begin

    @property
    def may_have_entries(self) -> bool:
        """Whether a claim may find something."""
        return self.stale or bool(self._names)
