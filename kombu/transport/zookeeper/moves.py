"""Nodes that are moved or removed together: one request for many, each by itself if that fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from kombu.transport.windows import windows
from kombu.transport.zookeeper.session import Session

#: Nodes, and bytes of their data, in one request; the server takes a megabyte.
LARGEST_GROUP = 100
LARGEST_REQUEST = 400_000
#: After a group that failed, so many are tried one by one: others are at the same nodes.
SINGLY_AFTER_FAILURE = 100


class Move(NamedTuple):
    """One node on its way, or, without a target, to be removed."""

    source: str
    target: str | None
    data: bytes


class Moves:
    """Carries out moves of one session.

    Each is atomic. A group is one transaction, so that one node that is not there any more
    fails all of it: then they are tried one by one.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._singly = 0

    def carry_out(self, moves: Sequence[Move]) -> list[bool]:
        """Which of them were done; the others' nodes were gone."""
        if len(moves) == 1 or self._singly > 0:
            self._singly -= len(moves)
            return self._one_by_one(moves)
        groups = list(windows(moves, data_size, LARGEST_GROUP, LARGEST_REQUEST))
        pending = [self._commit(group) for group in groups]
        done: list[bool] = []
        for group, result in zip(groups, pending, strict=True):
            if succeeded(self.session.call(result)):
                done += [True] * len(group)
            else:
                self._singly = SINGLY_AFTER_FAILURE
                done += self._one_by_one(group)
        return done

    def _one_by_one(self, moves: Sequence[Move]) -> list[bool]:
        pending = [self._commit([move]) for move in moves]
        return [succeeded(self.session.call(result)) for result in pending]

    def _commit(self, moves: Sequence[Move]) -> Any:
        transaction = self.session.client.transaction()
        for move in moves:
            transaction.delete(move.source)
            if move.target is not None:
                transaction.create(move.target, move.data)
        return transaction.commit_async()


def data_size(move: Move) -> int:
    return len(move.data)


def succeeded(results: Sequence[Any]) -> bool:
    """Whether all parts of a transaction were carried out."""
    return not any(isinstance(result, Exception) for result in results)
