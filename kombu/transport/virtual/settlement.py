"""Settlements that the backend did not take: what is tried again, when, and until when."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from kombu.transport.virtual.store import Claim

#: What failed is tried again after growing pauses, no longer than this (seconds).
LONGEST_PAUSE = 5.0

#: What the backend refuses though it can be reached is given up after so many tries.
MOST_TRIES = 5


class Settlement(NamedTuple):
    """What leaves in one call of the store.

    Arguments:
        tries: how often the backend has refused it.
    """

    acks: list[Claim]
    releases: list[Claim]
    rejects: list[Claim]
    tries: int = 0

    @property
    def claims(self) -> list[Claim]:
        return [*self.acks, *self.releases, *self.rejects]

    def after_refusal(self) -> list[Settlement]:
        """What to try next: each claim by itself, one by itself again; none: it is given up."""
        if len(self.claims) > 1:
            return [
                *(Settlement([claim], [], [], self.tries) for claim in self.acks),
                *(Settlement([], [claim], [], self.tries) for claim in self.releases),
                *(Settlement([], [], [claim], self.tries) for claim in self.rejects),
            ]
        tries = self.tries + 1
        return [self._replace(tries=tries)] if tries < MOST_TRIES else []


class Unsettled:
    """Settlements that failed, and when to try them again. Not safe for use by threads."""

    def __init__(self) -> None:
        self._waiting: deque[Settlement] = deque()
        self._failures = 0
        #: Time (monotonic) before which nothing is tried again.
        self.due_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def due(self) -> bool:
        """Whether there is something whose pause is over."""
        return bool(self._waiting) and time.monotonic() >= self.due_at

    def keep(self, settlements: Iterable[Settlement]) -> None:
        """These failed: each failure in a row makes the pause longer."""
        self._waiting.extend(settlements)
        self._failures += 1
        pause = min(0.1 * 2.0 ** min(self._failures, 10), LONGEST_PAUSE)
        self.due_at = time.monotonic() + pause

    def take(self) -> deque[Settlement]:
        """All of them, to be tried again."""
        taken, self._waiting = self._waiting, deque()
        return taken

    def succeeded(self) -> None:
        """The backend took something: the next pause is a short one."""
        self._failures = 0

    def clear(self) -> None:
        """Forget all."""
        self._waiting.clear()
