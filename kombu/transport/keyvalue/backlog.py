"""What is known of a queue's messages, so that a claim doesn't list all of them again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from kombu.transport.keyvalue.port import KeyValue, Stored
from kombu.transport.virtual.envelope import clamp_priority, parse
from kombu.transport.virtual.store import Envelope

#: Listings are made at most this share of the time, however fast messages come and go.
LISTING_SHARE = 0.1

#: How many messages are kept of one listing; a queue may have more than fit into memory twice.
_KEPT = 2000


class Waiting(NamedTuple):
    """A message that waits in a queue."""

    stored: Stored
    message: Envelope


class Backlog:
    """The messages of one queue in delivery order, as last seen; others may have taken them.

    Arguments:
        set_aside: called with what is no message.
    """

    def __init__(
        self, keys: KeyValue, queue: str, set_aside: Callable[[str, Stored], None]
    ) -> None:
        self.keys = keys
        self.queue = queue
        self.folder = keys.queue_folder(queue)
        self.set_aside = set_aside
        #: From where on a watch misses nothing; ``None``: list before you wait.
        self.index: int | None = None
        self._waiting: deque[Waiting] = deque()
        self._stale = True
        self._listed_at = 0.0
        self._took = 0.0

    @property
    def may_have_messages(self) -> bool:
        """Whether a claim may find something."""
        return self._stale or self.index is None or bool(self._waiting)

    def start_over(self) -> None:
        """Something came in front of what is known: list again before the next take."""
        self._stale = True

    def news(self) -> None:
        """Something came."""
        self.index = None

    def take(self, count: int) -> list[Waiting]:
        """Up to ``count`` messages, first to be delivered first."""
        pause = self._took / LISTING_SHARE
        if self._stale or not self._waiting or time.monotonic() - self._listed_at >= pause:
            self._list()
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(count, len(waiting)))]

    def _list(self) -> None:
        begun = time.monotonic()
        self._stale = False  # before it is listed: what another thread gives back is not missed
        listing = self.keys.list(self.folder)
        found: list[tuple[int, int, str, Waiting]] = []
        for stored in listing.stored:
            message = parse(stored.value)
            if message is None:
                self.set_aside(self.queue, stored)
            else:
                order = (-priority_of(message), stored.order, stored.name)
                found.append((*order, Waiting(stored, message)))
        found.sort(key=lambda row: row[:3])
        self._waiting = deque(row[3] for row in found[:_KEPT])
        self.index = listing.revision
        self._listed_at = time.monotonic()
        self._took = self._listed_at - begun


def priority_of(message: Envelope) -> int:
    """By what priority it waits: the queue's word (``with_priority``), else its own."""
    return clamp_priority(message.get("priority", message["properties"].get("priority")))


def with_priority(message: Envelope, priority: int) -> Envelope:
    """The message as it is stored, to wait by this priority."""
    if priority_of(message) == priority:
        return message
    return {**message, "priority": priority}
