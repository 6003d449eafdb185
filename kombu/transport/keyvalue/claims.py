"""Messages in their owners' hands: a record first, then they are taken out of their queue.

One record holds all messages of one claim. It is written before the first of them is deleted
from its queue, so that a process may die at any point: what its record names and its queue
lacks is put back by who notices. Records are changed by their owner alone; others only
replace a dead owner's record by one of their own, and then give back what it holds.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from kombu.transport.keyvalue.layout import CLAIMS, DelayedName
from kombu.transport.keyvalue.owner import Owner
from kombu.transport.keyvalue.port import KeyValue, Stored
from kombu.transport.virtual.store import Envelope
from kombu.utils.json import dumps, loads


class Held(NamedTuple):
    """One message in a record.

    Arguments:
        name: of its key in the queue, or among delayed messages.
        order: ``None``: it was delayed, and goes behind all others in its queue.
    """

    name: str
    order: int | None
    message: Envelope

    def given_back(self) -> Envelope:
        """The message marked as delivered before, unless it never was in its queue."""
        if self.order is None:
            return self.message
        deliveries = int(self.message.get("deliveries", 0)) + 1
        return {**self.message, "redelivered": True, "deliveries": deliveries}


class Holding:
    """A record and what it still holds. Its lock is held while it is changed."""

    def __init__(self, key: str, queue: str, held: Iterable[Held], version: int = 0) -> None:
        self.key = key
        self.queue = queue
        self.held = {each.name: each for each in held}
        self.version = version
        self.lock = threading.Lock()

    def dump(self) -> str:
        """The text of the record."""
        return dumps({"queue": self.queue, "messages": [list(h) for h in self.held.values()]})

    @classmethod
    def parse(cls, key: str, stored: Stored) -> Holding:
        """The record in a key."""
        content: dict[str, Any] = loads(stored.value)
        held = (Held(name, order, message) for name, order, message in content["messages"])
        return cls(key, content["queue"], held, stored.version)


class Claims:
    """The records of one client.

    Arguments:
        owner: under whose name they are made.
    """

    def __init__(self, keys: KeyValue, owner: Owner) -> None:
        self.keys = keys
        self.owner = owner
        self._numbers = itertools.count()
        self._unsure: deque[Holding] = deque()

    @contextmanager
    def watched(self, holding: Holding) -> Iterator[None]:
        """Do something with a record; if that fails half way, :meth:`recover` tidies up."""
        try:
            yield
        except BaseException:
            self._unsure.append(holding)
            raise

    def recover(self) -> int:
        """Give back what records hold that were made or emptied half way; how many messages."""
        count = 0
        while self._unsure:
            holding = self._unsure.popleft()
            with self.watched(holding), holding.lock:
                found = self.keys.read(holding.key)
                if found is not None:
                    left = Holding.parse(holding.key, found)
                    holding.held, holding.version = left.held, left.version
                    count += self._give_back_all(holding)
        return count

    def _give_back_all(self, holding: Holding) -> int:
        held = list(holding.held.values())
        self.give_back(holding, held, touch=True)
        self.drop(holding, [each.name for each in held])
        return len(held)

    def record(self, queue: str, held: Iterable[Held]) -> Holding:
        """Write a record of messages that are about to be taken."""
        key = f"{CLAIMS}/{self.owner.ensure()}/{next(self._numbers):x}"
        holding = Holding(key, queue, held)
        with self.watched(holding):
            holding.version = self.keys.swap(key, holding.dump(), 0) or 0
        return holding

    def drop(self, holding: Holding, names: Iterable[str]) -> bool:
        """Take messages off the record; ``False`` when it isn't this owner's any more.

        The holding's lock is held by the caller.
        """
        for name in names:
            holding.held.pop(name, None)
        # Twice: an earlier change may have been made though its answer was lost.
        for _ in range(2):
            if self._store(holding):
                return True
            found = self.keys.read(holding.key)
            if found is None:
                break
            holding.version = found.version
        holding.held.clear()
        return False

    def is_ours(self, holding: Holding) -> bool:
        """Whether nobody else can have taken the record over, nor can for half a lease."""
        return holding.key.startswith(f"{CLAIMS}/{self.owner.ensure()}/")

    def _store(self, holding: Holding) -> bool:
        if not holding.held:
            return self.keys.delete(holding.key, holding.version)
        version = self.keys.swap(holding.key, holding.dump(), holding.version)
        if version is not None:
            holding.version = version
        return version is not None

    def give_back(self, holding: Holding, held: Sequence[Held], touch: bool = False) -> None:
        """Put messages back into their queue (not off the record yet).

        Arguments:
            touch: they may be there still, and who took them may be about to delete them:
                see to it that it can't.
        """
        queue = holding.queue
        if not self.keys.exists(queue):
            return  # deleted, and its messages with it
        for each in held:
            text = dumps(each.given_back())
            if each.order is None:
                if not (touch and self._still_delayed(each)):
                    self.keys.append(queue, [text])
            elif not self.keys.put_back(queue, Stored(each.name, text, 0, each.order)) and touch:
                self._touch(queue, each)

    def _touch(self, queue: str, held: Held) -> None:
        found = self.keys.read(f"{self.keys.queue_folder(queue)}/{held.name}")
        if found is not None and self.keys.take(queue, [found]) == [True]:
            self.keys.put_back(queue, found._replace(order=held.order or 0))

    def _still_delayed(self, held: Held) -> bool:
        """Whether it is where delayed messages are, and out of reach for who was taking it."""
        key = DelayedName.parse(held.name).key(held.name)
        found = self.keys.read(key)
        return found is not None and self.keys.swap(key, found.value, found.version) is not None

    # ---- dead owners

    def restore_orphans(self, living: Iterable[str], claiming: Iterable[str]) -> int:
        """Give back what dead owners held; how many messages.

        Arguments:
            claiming: owners with records, looked up before the ``living`` were.
        """
        count = 0
        for name in sorted(set(claiming) - set(living)):
            folder = f"{CLAIMS}/{name}"
            for stored in self.keys.list(folder).stored:
                count += self._restore(f"{folder}/{stored.name}", stored)
            self.keys.drop_folder(folder)
        return count

    def _restore(self, key: str, stored: Stored) -> int:
        left = Holding.parse(key, stored)
        ours = self.record(left.queue, left.held.values())
        with self.watched(ours), ours.lock:
            if self.keys.delete(key, stored.version):
                return self._give_back_all(ours)
            self.drop(ours, list(ours.held))  # another was faster
        return 0
