"""Deliveries that are out to consumers: credit and settlement as pure state, no I/O."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class _Share:
    """What one consumer with a limit of its own holds: deliveries by identity."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held: set[int] = set()


class Delivery(NamedTuple):
    """One message given out and not settled yet."""

    tag: Any
    item: Any
    consumer: str | None


_new_delivery = tuple.__new__


class Ledger(Generic[Item]):
    """What a channel has given out, in the order it was delivered.

    A delivery for ``consumer=None`` (basic.get) takes no credit, as AMQP has it.

    Safe for use from several threads, without a lock. Credit is what sets hold, which add and
    discard in one step, as dicts do: a delivery enters them before it is out and leaves them
    once it is out no more, so that whoever takes it finds it counted. What is out is walked
    through in copies.

    Arguments:
        limit: how many deliveries the channel's consumers may hold together; 0: no limit.
    """

    def __init__(self, limit: int = 0) -> None:
        self._limit = limit
        self._out: dict[Any, Delivery] = {}
        #: Those that take credit, by identity.
        self._held: set[int] = set()
        self._shares: dict[str, _Share] = {}

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
        return list(self._out.values())

    # ---- credit

    def set_limit(self, limit: int) -> None:
        """Change the limit of the channel; takes effect on what is out already."""
        self._limit = max(limit, 0)

    def open_consumer(self, consumer: str, limit: int = 0) -> None:
        """Start a consumer with a limit of its own; 0: none."""
        self._shares.pop(consumer, None)
        if limit <= 0:
            return
        share = self._shares[consumer] = _Share(limit)
        for entry in self.deliveries:
            if entry.consumer == consumer:
                share.held.add(id(entry))
                if self._out.get(entry.tag) is not entry:  # taken meanwhile
                    share.held.discard(id(entry))

    def close_consumer(self, consumer: str) -> None:
        """End a consumer; its deliveries stay out and stay counted by the channel."""
        self._shares.pop(consumer, None)

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
            credit = limit - len(self._held)
            if credit <= 0:
                return 0
        share = self._shares.get(consumer) if self._shares and consumer is not None else None
        if share is None:
            return credit
        left = max(share.limit - len(share.held), 0)
        return left if credit is None else min(credit, left)

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
        self._held.add(id(entry))
        share = self._shares.get(consumer) if self._shares else None
        if share is not None:
            share.held.add(id(entry))
        if self._out.setdefault(tag, entry) is entry:
            return True
        self._uncount(entry)
        return False

    def settle(self, tag: Any, multiple: bool = False) -> list[Delivery]:
        """Take out what an acknowledgement or a rejection of ``tag`` means, oldest first.

        Arguments:
            multiple: everything delivered up to and including the tag; with an empty tag
                (``0``, ``""`` or ``None``) everything that is out (AMQP 0-9-1, basic.ack).

        Returns:
            nothing when the tag is not out: no credit comes of it.
        """
        if not multiple:
            entry = self.take(tag)
            return [] if entry is None else [entry]
        tags = list(self._out)
        if tag:
            tags = tags[: tags.index(tag) + 1] if tag in tags else []
        return self._take(tags)

    def take(self, tag: Any) -> Delivery | None:
        """Take out one delivery; ``None`` when the tag is not out: no credit comes of it."""
        entry = self._out.pop(tag, None)
        if entry is not None and entry.consumer is not None:
            self._held.discard(id(entry))
            if self._shares:
                self._uncount(entry)
        return entry

    def _uncount(self, entry: Delivery) -> None:
        self._held.discard(id(entry))
        share = self._shares.get(entry.consumer or "")
        if share is not None:
            share.held.discard(id(entry))

    def take_all(self) -> list[Delivery]:
        """Take everything out (recover, close), oldest first."""
        return self._take(list(self._out))

    def _take(self, tags: list[Any]) -> list[Delivery]:
        taken = (self.take(tag) for tag in tags)
        return [entry for entry in taken if entry is not None]
