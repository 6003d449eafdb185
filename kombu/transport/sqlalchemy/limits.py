"""Maximum lengths of queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from kombu.transport.sqlalchemy.database import Database
from kombu.transport.sqlalchemy.leases import Leases, Taken
from kombu.transport.sqlalchemy.queues import QueueInfo
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.policy import QueuePolicy, size_of
from kombu.transport.virtual.store import Put, QueueFull


class Crowded:
    """A queue that was put into; another object each time."""

    __slots__ = ("info", "name")

    def __init__(self, name: str, info: QueueInfo) -> None:
        self.name = name
        self.info = info


class Limits:
    """Refuses or takes out what is too much for a queue.

    Arguments:
        database: where the messages are.
        leases: how messages are taken out.
    """

    def __init__(self, database: Database, leases: Leases) -> None:
        self.database = database
        self.leases = leases
        #: Queues that were put into since they were looked at.
        self._crowded: dict[str, Crowded] = {}
        #: Those that were relieved, once that is committed.
        self._relieved: list[Crowded] = []

    @property
    def due(self) -> bool:
        """Whether a queue may have become too long."""
        return bool(self._crowded)

    def _lock(self, connection: sa.Connection, queue: int) -> None:
        """One publisher after the other: two of them must not make room for the same message."""
        table = self.database.tables.queue
        connection.execute(
            sa.select(table.c.id).where(table.c.id == queue).with_for_update(key_share=True)
        )

    def _waiting(self, connection: sa.Connection, queue: int) -> Any:
        """Ids and payloads of the messages in a queue, the newest first."""
        message = self.database.tables.message
        return connection.execute(
            sa.select(message.c.id, message.c.payload)
            .where(message.c.queue_id == queue, message.c.visible == sa.true())
            .order_by(message.c.id.desc())
        )

    def _load(self, connection: sa.Connection, queue: int, policy: QueuePolicy) -> tuple[int, int]:
        """Messages that wait, and the bytes of their bodies where those are limited."""
        message = self.database.tables.message
        if policy.max_bytes is None:
            count = sa.select(sa.func.count()).where(
                message.c.queue_id == queue, message.c.visible == sa.true()
            )
            return int(connection.execute(count).scalar_one()), 0
        waiting = self._waiting(connection, queue)
        sizes = [size_of(parse(payload) or {}) for _, payload in waiting]
        return len(sizes), sum(sizes)

    def refuse(
        self, connection: sa.Connection, puts: Sequence[Put], infos: Mapping[str, QueueInfo]
    ) -> dict[int, BaseException]:
        """Which of these puts their queues have no room for."""
        refused: dict[int, BaseException] = {}
        for name, info in infos.items():
            policy = info.policy
            if policy is None or not policy.bounded:
                continue
            if policy.overflow == "drop-head":
                self._crowded[name] = Crowded(name, info)
                continue
            self._lock(connection, info.identifier)
            count, size = self._load(connection, info.identifier, policy)
            for index, put in enumerate(puts):
                if put.queue != name:
                    continue
                weight = size_of(put.message)
                full = policy.max_length is not None and count + 1 > policy.max_length
                heavy = policy.max_bytes is not None and size + weight > policy.max_bytes
                if full or heavy:
                    refused[index] = QueueFull(f"queue {name!r} is full")
                else:
                    count, size = count + 1, size + weight
        return refused

    def surplus(self, connection: sa.Connection, limit: int) -> list[tuple[str, str, list[Taken]]]:
        """Take out the oldest messages of queues that are too long.

        May be called again where its transaction was rolled back; :meth:`committed` follows.
        """
        self._relieved = []
        batches: list[tuple[str, str, list[Taken]]] = []
        for crowded in list(self._crowded.values()):
            name, info = crowded.name, crowded.info
            self._lock(connection, info.identifier)
            count = self._too_many(connection, info)
            if count:
                receipt, taken = self.leases.take_oldest(
                    connection, info.identifier, min(count, limit), self.database.options.lease
                )
                batches.append((name, receipt, taken))
                limit -= len(taken)
            if count <= limit:
                self._relieved.append(crowded)
            if limit <= 0:
                break
        return batches

    def committed(self) -> None:
        """What :meth:`surplus` did holds."""
        for crowded in self._relieved:
            if self._crowded.get(crowded.name) is crowded:  # not put into again meanwhile
                self._crowded.pop(crowded.name, None)

    def _too_many(self, connection: sa.Connection, info: QueueInfo) -> int:
        policy = info.policy
        assert policy is not None
        if policy.max_bytes is None:
            count, _ = self._load(connection, info.identifier, policy)
            return max(count - (policy.max_length or 0), 0)
        kept = size = count = 0
        for _, payload in self._waiting(connection, info.identifier):
            count += 1
            size += size_of(parse(payload) or {})
            fits = policy.max_length is None or count <= policy.max_length
            if kept == count - 1 and size <= policy.max_bytes and fits:
                kept = count
        return count - kept
