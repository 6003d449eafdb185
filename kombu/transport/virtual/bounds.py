"""Maximum length for stores that have no notion of it: counted and trimmed from outside.

Unlike a store that does it by itself, this takes further calls and is not atomic: publishers
that race may leave a queue longer than its limit for a moment, never shorter. Bytes are not
counted (``x-max-length-bytes``), and what a full queue refuses is not dead-lettered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kombu.transport.virtual.store import Discard, PartialPutError, Put, QueueFull, Store

if TYPE_CHECKING:
    from kombu.transport.virtual.topology import Topology


class Bounds:
    """Keeps the queues of one connection within ``x-max-length``.

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
        if failed:
            if len(puts) == 1:
                raise failed[0]
            raise PartialPutError(failed)

    def _refused(self, puts: Sequence[Put]) -> dict[int, BaseException]:
        room: dict[str, int] = {}
        refused: dict[int, BaseException] = {}
        for index, put in enumerate(puts):
            policy = self.topology.policy(put.queue)
            if policy is None or policy.max_length is None:
                continue
            if policy.overflow == "drop-head":
                self._put_into.add(put.queue)
                continue
            if put.queue not in room:
                room[put.queue] = policy.max_length - self.store.size(put.queue)
            room[put.queue] -= 1
            if room[put.queue] < 0:
                refused[index] = QueueFull(f"queue {put.queue!r} is full")
        return refused

    def overflow(self, limit: int) -> list[Discard]:
        """Up to ``limit`` of the oldest messages of queues that were put into and are too long."""
        discards: list[Discard] = []
        while self._put_into and len(discards) < limit:
            queue = self._put_into.pop()
            policy = self.topology.policy(queue)
            if policy is None or policy.max_length is None:
                continue
            excess = self.store.size(queue) - policy.max_length
            if excess > 0:
                wanted = min(excess, limit - len(discards))
                claims = self.store.claim([queue], wanted)
                discards += [Discard("maxlen", claim) for claim in claims]
                if len(claims) == wanted < excess:
                    self._put_into.add(queue)
        return discards
