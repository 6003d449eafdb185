"""Deliveries that are out to consumers: credit and settlement as pure state, no I/O."""

from __future__ import annotations

from threading import RLock
from typing import Any, Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class _Credit:
    """What one consumer may hold: ``limit`` 0 is unlimited."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int, held: int) -> None:
        self.limit = limit
        self.held = held


class Delivery(NamedTuple):
    """One message given out and not settled yet."""

    tag: Any
    item: Any
    consumer: str | None


_new_delivery = tuple.__new__


class Ledger(Generic[Item]):
    """What a channel has given out, in the order it was delivered.

    Safe for use from several threads. A delivery for ``consumer=None`` (basic.get) takes no
    credit, as AMQP has it, and needs no lock: what is out is kept in one dict, whose own
    operations are whole; it is walked through in copies. The lock is for the counts.

    Arguments:
        limit: how many deliveries the channel's consumers may hold together; 0: no limit.
    """

    def __init__(self, limit: int = 0) -> None:
        self._lock = RLock()
        self._limit = limit
        self._held = 0
        self._out: dict[Any, Delivery] = {}
        self._credits: dict[str, _Credit] = {}

    def __len__(self) -> int:
        return len(self._out)

    def __contains__(self, tag: object) -> bool:
        return tag in self._out

    def get(self, tag: Any) -> Item:
        """The item delivered under ``tag``; KeyError when it is not out."""
        item: Item = self._out[tag].item
        return item

    @property
    def deliveries(self) -> list[Delivery]:
        """All that is out, oldest first (a copy)."""
        with self._lock:
            return list(self._out.values())

    # ---- credit

    def set_limit(self, limit: int) -> None:
        """Change the limit of the channel; takes effect on what is out already."""
        self._limit = max(limit, 0)

    def open_consumer(self, consumer: str, limit: int = 0) -> None:
        """Start a consumer with a limit of its own; 0: none."""
        with self._lock:
            held = sum(entry.consumer == consumer for entry in list(self._out.values()))
            self._credits[consumer] = _Credit(max(limit, 0), held)

    def close_consumer(self, consumer: str) -> None:
        """End a consumer; its deliveries stay out and stay counted by the channel."""
        with self._lock:
            self._credits.pop(consumer, None)

    def credit(self, consumer: str | None = None, limit: int | None = None) -> int | None:
        """How many more deliveries fit; ``None`` when there is no limit.

        Arguments:
            consumer: also heed this consumer's limit; ``None``: only the channel's.
            limit: the channel's limit from now on; ``None``: as it is.
        """
        # Plain reads: a number that changes meanwhile is as old as one read before.
        if limit is None:
            limit = self._limit
        else:
            self._limit = limit
        credit = None
        if limit:
            credit = limit - self._held
            if credit <= 0:
                return 0
        own = self._credits.get(consumer) if consumer is not None else None
        if own is not None and own.limit:
            left = max(own.limit - own.held, 0)
            return left if credit is None else min(credit, left)
        return credit

    # ---- deliveries

    def deliver(self, tag: Any, item: Item, consumer: str | None) -> None:
        """Note that ``item`` went out under ``tag``.

        Raises:
            ValueError: the tag is out already.
        """
        if not self.offer(tag, item, consumer):
            raise ValueError(f"delivery tag {tag!r} is already out")

    def offer(self, tag: Any, item: Item, consumer: str | None) -> bool:
        """As :meth:`deliver`; ``False`` when the tag is out already."""
        entry: Delivery = _new_delivery(Delivery, (tag, item, consumer))
        if consumer is None:
            return self._out.setdefault(tag, entry) is entry
        with self._lock:
            if self._out.setdefault(tag, entry) is not entry:
                return False
            self._held += 1
            own = self._credits.get(consumer)
            if own is not None:
                own.held += 1
        return True

    def settle(self, tag: Any, multiple: bool = False) -> list[Delivery]:
        """Take out what an acknowledgement or a rejection of ``tag`` means, oldest first.

        Arguments:
            multiple: everything delivered up to and including the tag; with an empty tag
                (``0``, ``""`` or ``None``) everything that is out (AMQP 0-9-1, basic.ack).

        Returns:
            nothing when the tag is not out: no credit comes of it.
        """
        with self._lock:
            if multiple and not tag:
                return self.take_all()
            if not multiple:
                entry = self.take(tag)
                return [] if entry is None else [entry]
            if tag not in self._out:
                return []
            tags = []
            for each in list(self._out):
                tags.append(each)
                if each == tag:
                    break
            return self._take(tags)

    def take(self, tag: Any) -> Delivery | None:
        """Take out one delivery; ``None`` when the tag is not out: no credit comes of it."""
        entry = self._out.get(tag)
        if entry is None or entry.consumer is None:
            return self._out.pop(tag, None)
        with self._lock:
            entry = self._out.pop(tag, None)
            if entry is not None and entry.consumer is not None:
                self._held -= 1
                own = self._credits.get(entry.consumer)
                if own is not None:
                    own.held -= 1
        return entry

    def take_all(self) -> list[Delivery]:
        """Take everything out (recover, close), oldest first."""
        with self._lock:
            return self._take(list(self._out))

    def _take(self, tags: list[Any]) -> list[Delivery]:
        taken = (self.take(tag) for tag in tags)
        return [entry for entry in taken if entry is not None]
