"""Maximum length for stores that have no notion of it: counted and trimmed from outside.

Unlike a store that does it by itself, this takes further calls and is not atomic: publishers
that race may leave a queue longer than its limit for a moment, never shorter. Bytes
(``x-max-length-bytes``) are counted where the store can sum them up, and what a full queue
refuses is not dead-lettered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kombu.transport.virtual.policy import QueuePolicy, size_of
from kombu.transport.virtual.store import (
    Discard,
    PartialPutError,
    Put,
    QueueFull,
    Store,
    raise_failed,
)

if TYPE_CHECKING:
    from kombu.transport.virtual.topology import Topology


class _Room:
    """What fits into a queue that refuses more; infinite where there is no such limit."""

    def __init__(self, store: Store, queue: str, policy: QueuePolicy) -> None:
        self.messages = self.bytes = float("inf")
        if policy.max_length is not None:
            self.messages = policy.max_length - store.size(queue)
        if policy.max_bytes is not None and (there := store.body_bytes(queue)) is not None:
            self.bytes = policy.max_bytes - there

    def take(self, size: int) -> bool:
        """Whether one more message of so many bytes fits; then it has its place."""
        if self.messages < 1 or self.bytes < size:
            return False
        self.messages -= 1
        self.bytes -= size
        return True


class Bounds:
    """Keeps the queues of one connection within ``x-max-length`` and ``x-max-length-bytes``.

    Arguments:
        store: holds the messages; asked for sizes, and for claims on what is too much.
        topology: knows the queues' arguments.
    """

    def __init__(self, store: Store, topology: Topology) -> None:
        self.store = store
        self.topology = topology
        self._put_into: set[str] = set()

    def put(self, puts: Sequence[Put]) -> None:
        """Store what there is room for.

        Raises:
            QueueFull: the only message is for a queue that is full and refuses more.
            PartialPutError: some of several are; the others are stored.
        """
        failed = self._refused(puts)
        accepted = [index for index in range(len(puts)) if index not in failed]
        if accepted:
            try:
                self.store.put([puts[index] for index in accepted])
            except PartialPutError as exc:
                failed.update((accepted[at], error) for at, error in exc.failed.items())
        raise_failed(puts, failed)

    def _refused(self, puts: Sequence[Put]) -> dict[int, BaseException]:
        rooms: dict[str, _Room] = {}
        refused: dict[int, BaseException] = {}
        for index, put in enumerate(puts):
            policy = self.topology.policy(put.queue)
            if policy is None or not policy.bounded:
                continue
            if policy.overflow == "drop-head":
                self._put_into.add(put.queue)
                continue
            if put.queue not in rooms:
                rooms[put.queue] = _Room(self.store, put.queue, policy)
            if not rooms[put.queue].take(size_of(put.message)):
                refused[index] = QueueFull(f"queue {put.queue!r} is full")
        return refused

    def overflow(self, limit: int) -> list[Discard]:
        """Up to ``limit`` of the oldest messages of queues that were put into and are too long."""
        discards: list[Discard] = []
        while self._put_into and len(discards) < limit:
            queue = self._put_into.pop()
            policy = self.topology.policy(queue)
            if policy is None:
                continue
            dropped = self._too_many(queue, policy, limit - len(discards))
            dropped += self._too_large(queue, policy, limit - len(discards) - len(dropped))
            discards += dropped
            if len(discards) == limit:
                self._put_into.add(queue)
        return discards

    def _too_many(self, queue: str, policy: QueuePolicy, limit: int) -> list[Discard]:
        if policy.max_length is None:
            return []
        excess = self.store.size(queue) - policy.max_length
        if excess <= 0:
            return []
        claims = self.store.claim([queue], min(excess, limit))
        return [Discard("maxlen", claim) for claim in claims]

    def _too_large(self, queue: str, policy: QueuePolicy, limit: int) -> list[Discard]:
        """One at a time: how much each takes off is known when it is there."""
        if policy.max_bytes is None or (there := self.store.body_bytes(queue)) is None:
            return []
        dropped: list[Discard] = []
        while there > policy.max_bytes and len(dropped) < limit:
            claims = self.store.claim([queue], 1)
            if not claims:
                break
            dropped += [Discard("maxlen", claim) for claim in claims]
            there -= sum(size_of(claim.message) for claim in claims)
        return dropped
