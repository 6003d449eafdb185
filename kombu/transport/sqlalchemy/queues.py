"""Queues: their rows, their arguments, and how many messages wait in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from amqp.exceptions import PreconditionFailed

from kombu.transport.sqlalchemy.database import Database
from kombu.transport.sqlalchemy.models import NAME_LENGTH
from kombu.transport.virtual.policy import QueuePolicy
from kombu.transport.virtual.store import QueueSpec
from kombu.utils.json import dumps, loads

#: How many queues are remembered: names for answers come and go. Above it all are forgotten.
KEEP = 10_000
#: Messages that one transaction drops of a queue, however many there are.
DROPPED_AT_ONCE = 10_000


class QueueInfo(NamedTuple):
    """What a put needs to know of a queue."""

    identifier: int
    policy: QueuePolicy | None


class ReadyQueue(NamedTuple):
    """A queue with messages to claim, and whether some of them have a rank."""

    identifier: int
    name: str
    ranked: bool


class Queues:
    """The table of queues and what hangs on it.

    Arguments:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tables = database.tables
        self._known: dict[str, QueueInfo] = {}

    def declare(self, spec: QueueSpec) -> None:
        """Make the queue, or note its arguments."""
        self._check_name(spec.name)
        given = dumps(dict(spec.arguments), sort_keys=True) if spec.arguments else None
        found = self._read([spec.name])
        if spec.name in found and (given is None or found[spec.name][1] == given):
            self._remember(spec.name, *found[spec.name])
            return
        self.database.write(
            f"declare queue {spec.name!r}",
            lambda connection: self._write(connection, spec.name, given),
            retry_integrity=True,
        )
        self._known.pop(spec.name, None)

    def info(self, name: str) -> QueueInfo:
        """A queue, made if it is not there; as of the last time it was looked up."""
        info = self._known.get(name)
        if info is None:
            found = self._read([name])
            if name not in found:
                self.declare(QueueSpec(name))
                found = self._read([name])
            info = self._remember(name, *found[name])
        return info

    def forget(self, names: Iterable[str]) -> None:
        """Look these up anew next time."""
        for name in names:
            self._known.pop(name, None)

    @staticmethod
    def _check_name(name: str) -> None:
        if len(name) > NAME_LENGTH:
            raise PreconditionFailed(
                f"queue name of {len(name)} characters: the tables hold {NAME_LENGTH}"
            )

    def _remember(self, name: str, identifier: int, arguments: str | None) -> QueueInfo:
        policy = QueuePolicy.of(loads(arguments)) if arguments else None
        if len(self._known) >= KEEP:
            self._known.clear()
        info = self._known[name] = QueueInfo(identifier, policy)
        return info

    def _read(self, names: Sequence[str]) -> dict[str, tuple[int, str | None]]:
        queue, options = self.tables.queue, self.tables.options
        statement = (
            sa.select(queue.c.name, queue.c.id, options.c.arguments)
            .select_from(queue.outerjoin(options, options.c.queue == queue.c.name))
            .where(queue.c.name.in_(names))
        )
        with self.database.reading("look up queues") as connection:
            return {name: (id_, text) for name, id_, text in connection.execute(statement)}

    def _write(self, connection: sa.Connection, name: str, arguments: str | None) -> None:
        queue, options = self.tables.queue, self.tables.options
        known = connection.execute(sa.select(queue.c.name).where(queue.c.name == name)).scalar()
        if known is None:
            connection.execute(sa.insert(queue).values(name=name))
        elif known != name:
            raise PreconditionFailed(
                f"queue {name!r}: to the database its name is that of queue {known!r}; "
                f"column {queue.name}.name needs a binary collation to tell them apart"
            )
        if arguments is not None:
            connection.execute(sa.delete(options).where(options.c.queue == name))
            connection.execute(sa.insert(options).values(queue=name, arguments=arguments))

    def exists(self, name: str) -> bool:
        """Whether anybody declared it."""
        return name in self._read([name])

    def size(self, name: str) -> int:
        """How many messages can be claimed now."""
        message, queue = self.tables.message, self.tables.queue
        statement = (
            sa.select(sa.func.count())
            .select_from(message.join(queue, queue.c.id == message.c.queue_id))
            .where(queue.c.name == name, message.c.visible == sa.true())
        )
        with self.database.reading(f"count queue {name!r}") as connection:
            return int(connection.execute(statement).scalar_one())

    def _identifier(self, connection: sa.Connection, name: str) -> int | None:
        queue = self.tables.queue
        rows = connection.execute(sa.select(queue.c.name, queue.c.id).where(queue.c.name == name))
        # Compared here, too: a database may take another queue's name for the same.
        return {row.name: row.id for row in rows}.get(name)

    def purge(self, name: str) -> int:
        """Drop what can be claimed, and what published peers have taken and left behind."""
        message, lease = self.tables.message, self.tables.lease
        doing = f"purge queue {name!r}"
        identifier = self._read([name]).get(name, (None,))[0]
        if identifier is None:
            return 0
        held = sa.select(lease.c.message_id).where(lease.c.message_id == message.c.id)
        left_behind = sa.and_(message.c.visible == sa.false(), ~held.exists())
        count = self._drop(doing, identifier, message.c.visible == sa.true())
        self._drop(doing, identifier, left_behind)
        return count

    def _drop(self, doing: str, queue: int, which: sa.ColumnElement[bool]) -> int:
        """Delete messages that are there now, in transactions that end in time; how many."""
        message = self.tables.message
        with self.database.reading(doing) as connection:
            newest = connection.execute(sa.select(sa.func.max(message.c.id))).scalar() or 0
        some = (
            sa.select(message.c.id)
            .where(message.c.queue_id == queue, message.c.id <= newest, which)
            .limit(DROPPED_AT_ONCE)
            .subquery()  # MySQL takes a limit nowhere else
        )
        drop = sa.delete(message).where(message.c.id.in_(sa.select(some.c.id)))
        count = 0
        while True:
            gone = self.database.write(doing, lambda connection: connection.execute(drop).rowcount)
            count += gone
            if gone < DROPPED_AT_ONCE:
                return count

    def delete(self, name: str) -> int:
        """Remove a queue with all that is in it; how many messages could be claimed."""
        tables = self.tables
        message = tables.message
        dropped = self.purge(name)

        def delete(connection: sa.Connection) -> int:
            identifier = self._identifier(connection, name)
            count = 0
            if identifier is not None:
                of_queue = message.c.queue_id == identifier
                for table in (tables.lease, tables.rank):
                    connection.execute(sa.delete(table).where(table.c.queue_id == identifier))
                ready = sa.delete(message).where(of_queue, message.c.visible == sa.true())
                count = connection.execute(ready).rowcount
                connection.execute(sa.delete(message).where(of_queue))
            connection.execute(sa.delete(tables.binding).where(tables.binding.c.queue == name))
            connection.execute(sa.delete(tables.options).where(tables.options.c.queue == name))
            if identifier is not None:
                connection.execute(sa.delete(tables.queue).where(tables.queue.c.id == identifier))
            return count

        self._known.pop(name, None)
        # A put that came in between refers to the row: the next attempt takes it along.
        return dropped + self.database.write(f"delete queue {name!r}", delete, retry_integrity=True)

    def ready(self, names: Sequence[str]) -> list[ReadyQueue]:
        """Those of ``names`` that have messages to claim, in their order."""
        queue, message, rank = self.tables.queue, self.tables.message, self.tables.rank
        # One step into an index each: EXISTS would let a planner read whole tables.
        first = (
            sa.select(message.c.id)
            .where(*self.tables.waiting(queue.c.id))
            .order_by(*self.tables.in_order)
            .limit(1)
            .scalar_subquery()
        )
        ranked = (
            sa.select(rank.c.message_id)
            .where(rank.c.queue_id == queue.c.id)
            .order_by(rank.c.place, rank.c.message_id)
            .limit(1)
            .scalar_subquery()
        )
        statement = sa.select(queue.c.id, queue.c.name, ranked).where(
            queue.c.name.in_(names), first.is_not(None)
        )
        with self.database.reading("look for messages") as connection:
            found = [
                ReadyQueue(row[0], row[1], row[2] is not None)
                for row in connection.execute(statement)
            ]
        order: dict[Any, int] = {name: index for index, name in enumerate(names)}
        return sorted(found, key=lambda each: order.get(each.name, 0))
