"""Taking messages under lease, and ending leases: the statements, without their transactions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from kombu.transport.sqlalchemy.database import Conflict, Database
from kombu.transport.sqlalchemy.dialects import new_receipt
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.store import Claim
from kombu.utils.json import dumps

#: Place of a message without a priority.
LAST_PLACE = 9
#: ``version`` is a SMALLINT that counts the takes of a message.
HIGHEST_VERSION = 32_000
#: Values in one list of a statement.
CHUNK = 500
#: How many rows that published peers have taken are cleared away in one claim.
CLEARED_AT_ONCE = 20


class Receipt(NamedTuple):
    """What settles one holding of one message."""

    message: int
    holding: str


class Taken(NamedTuple):
    """A message as it was taken."""

    identifier: int
    payload: str
    version: int


def chunks(values: Sequence[Any], size: int = CHUNK) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


class Leases:
    """Rows of messages that are taken, held, and given back.

    Arguments:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tables = database.tables

    # ---- taking

    def take(
        self, connection: sa.Connection, queue: int, limit: int, seconds: float, ranked: bool
    ) -> tuple[str, list[Taken]]:
        """Take up to ``limit`` messages: by priority, then age."""
        found = self._first_by_rank(connection, queue, limit) if ranked else []
        if len(found) < limit:
            found += self._oldest(connection, queue, limit - len(found), [t[0] for t in found])
        return self.hold(connection, found, seconds, ranked)

    def take_at_once(
        self, connection: sa.Connection, queue: int, limit: int, seconds: float
    ) -> tuple[str, list[Taken]]:
        """As :meth:`take` for a queue without ranks, in one statement."""
        receipt = new_receipt()
        message, lease = self.tables.message, self.tables.lease
        found = self._locking(self._waiting(queue, limit)).cte("found")
        taken = (
            sa.update(message)
            .where(message.c.id == found.c.id)
            .values(**self._hidden())
            .returning(message.c.id, message.c.queue_id, message.c.payload, message.c.version)
            .cte("taken")
        )
        until = self.database.dialect.now() + sa.literal(seconds, sa.Double())
        rows = sa.select(taken.c.id, taken.c.queue_id, sa.literal(receipt), until)
        held = (
            sa.insert(lease)
            .from_select(["message_id", "queue_id", "receipt", "until"], rows)
            .returning(lease.c.message_id)
            .cte("held")
        )
        statement = (
            sa.select(taken.c.id, taken.c.payload, taken.c.version - 1)
            .select_from(taken.join(held, held.c.message_id == taken.c.id))
            .order_by(taken.c.id)
        )
        return receipt, [Taken(*row) for row in connection.execute(statement)]

    def _hidden(self) -> dict[str, Any]:
        """What changes in a message that is taken."""
        version = self.tables.message.c.version
        counted = sa.case((version < HIGHEST_VERSION, version + 1), else_=version)
        return {"visible": False, "timestamp": datetime.now(), "version": counted}

    def take_oldest(
        self, connection: sa.Connection, queue: int, limit: int, seconds: float
    ) -> tuple[str, list[Taken]]:
        """Take up to ``limit`` messages by age alone."""
        return self.hold(connection, self._oldest(connection, queue, limit, []), seconds, True)

    def hold(
        self, connection: sa.Connection, found: list[Taken], seconds: float, ranked: bool
    ) -> tuple[str, list[Taken]]:
        """Put rows that were found, and locked where the database can, under one lease."""
        receipt = new_receipt()
        if not found:
            return receipt, []
        message, lease, rank = self.tables.message, self.tables.lease, self.tables.rank
        identifiers = [each.identifier for each in found]
        mine = message.c.id.in_(identifiers)
        changed = connection.execute(
            sa.update(message).where(mine, message.c.visible == sa.true()).values(**self._hidden())
        )
        if changed.rowcount != len(identifiers):
            raise Conflict("others took the same messages")
        columns: list[Any] = [
            message.c.id,
            message.c.queue_id,
            sa.literal(receipt),
            self.database.dialect.now() + sa.literal(seconds, sa.Double()),
        ]
        names = ["message_id", "queue_id", "receipt", "until"]
        source: Any = message
        if ranked:
            columns += [rank.c.place, rank.c.expires_at]
            names += ["place", "expires_at"]
            source = message.outerjoin(rank, rank.c.message_id == message.c.id)
        rows = sa.select(*columns).select_from(source).where(mine)
        connection.execute(sa.insert(lease).from_select(names, rows))
        if ranked:
            connection.execute(sa.delete(rank).where(rank.c.message_id.in_(identifiers)))
        return receipt, found

    def _locking(self, statement: sa.Select[Any]) -> sa.Select[Any]:
        return statement.with_for_update(skip_locked=self.database.dialect.skip_locked)

    def _waiting(self, queue: int, limit: int) -> sa.Select[Any]:
        message = self.tables.message
        return (
            sa.select(message.c.id, message.c.payload, message.c.version)
            .where(*self.tables.waiting(queue))
            .order_by(*self.tables.in_order)
            .limit(limit)
        )

    def _oldest(
        self, connection: sa.Connection, queue: int, limit: int, but: list[int]
    ) -> list[Taken]:
        statement = self._waiting(queue, limit)
        if but:
            statement = statement.where(self.tables.message.c.id.not_in(but))
        return [Taken(*row) for row in connection.execute(self._locking(statement))]

    def _first_by_rank(self, connection: sa.Connection, queue: int, limit: int) -> list[Taken]:
        message, rank = self.tables.message, self.tables.rank
        statement = (
            sa.select(message.c.id, message.c.payload, message.c.version, message.c.visible)
            .select_from(rank.join(message, message.c.id == rank.c.message_id))
            .where(rank.c.queue_id == queue, rank.c.place < LAST_PLACE)
            .order_by(rank.c.place, rank.c.message_id)
        )
        for _ in range(CLEARED_AT_ONCE):
            rows = connection.execute(self._locking(statement.limit(limit))).all()
            if not rows and connection.dialect.name == "sqlite":
                self._drop_orphans(connection, rank.c.queue_id == queue)
            # Published peers take a message and know nothing of its rank.
            stale = [row.id for row in rows if not row.visible]
            if not stale:
                return [Taken(*row[:3]) for row in rows]
            connection.execute(sa.delete(rank).where(rank.c.message_id.in_(stale)))
        return []

    def _drop_orphans(self, connection: sa.Connection, which: sa.ColumnElement[bool]) -> None:
        """Forget ranks of messages that are gone or taken, where published peers left them."""
        message, rank = self.tables.message, self.tables.rank
        waiting = sa.exists().where(
            message.c.id == rank.c.message_id, message.c.visible == sa.true()
        )
        connection.execute(sa.delete(rank).where(which, ~waiting))

    # ---- ending

    def _end(
        self, connection: sa.Connection, claims: Iterable[Claim]
    ) -> dict[int, tuple[int, float | None]]:
        """Delete the leases that still are these claims': message -> place and deadline."""
        lease = self.tables.lease
        columns = (lease.c.message_id, lease.c.place, lease.c.expires_at)
        ended: dict[int, tuple[int, float | None]] = {}
        for receipt, identifiers in by_holding(claims).items():
            for some in chunks(sorted(identifiers)):
                mine = sa.and_(lease.c.message_id.in_(some), lease.c.receipt == receipt)
                if connection.dialect.delete_returning:
                    rows = connection.execute(sa.delete(lease).where(mine).returning(*columns))
                    found = rows.all()
                else:
                    found = connection.execute(
                        sa.select(*columns).where(mine).with_for_update()
                    ).all()
                    connection.execute(sa.delete(lease).where(mine))
                for identifier, place, expires_at in found:
                    ended[identifier] = (LAST_PLACE if place is None else place, expires_at)
        return ended

    def forget(self, connection: sa.Connection, claims: Iterable[Claim]) -> None:
        """Delete the messages that are still held under these claims."""
        message = self.tables.message
        for some in chunks(sorted(self._end(connection, claims))):
            connection.execute(sa.delete(message).where(message.c.id.in_(some)))

    def forget_at_once(self, connection: sa.Connection, claims: Iterable[Claim]) -> None:
        """As :meth:`forget`, in one statement for the claims of a batch."""
        message, lease = self.tables.message, self.tables.lease
        for receipt, identifiers in by_holding(claims).items():
            for some in chunks(sorted(identifiers)):
                ended = (
                    sa.delete(lease)
                    .where(lease.c.message_id.in_(some), lease.c.receipt == receipt)
                    .returning(lease.c.message_id)
                    .cte("ended")
                )
                connection.execute(
                    sa.delete(message).where(message.c.id.in_(sa.select(ended.c.message_id)))
                )

    def give_back(self, connection: sa.Connection, claims: Sequence[Claim]) -> None:
        """Show the messages again where they stood, marked as redelivered."""
        ended = self._end(connection, claims)
        payloads = {
            claim.receipt.message: dumps({**claim.message, "redelivered": True})
            for claim in claims
            if claim.receipt.message in ended
        }
        self.show(connection, ended, payloads)

    def show(
        self,
        connection: sa.Connection,
        ended: dict[int, tuple[int, float | None]],
        payloads: dict[int, str],
    ) -> None:
        """Make messages visible; their payload is written anew where one is given."""
        message = self.tables.message
        if payloads:
            connection.execute(
                sa.update(message)
                .where(message.c.id == sa.bindparam("identifier"))
                .values(visible=True, timestamp=None, payload=sa.bindparam("text")),
                [{"identifier": key, "text": text} for key, text in sorted(payloads.items())],
            )
        for some in chunks(sorted(ended.keys() - payloads.keys())):
            connection.execute(
                sa.update(message)
                .where(message.c.id.in_(some))
                .values(visible=True, timestamp=None)
            )
        self.rank(connection, ended)

    def rank(
        self, connection: sa.Connection, messages: dict[int, tuple[int, float | None]]
    ) -> None:
        """Note priorities and deadlines, where messages have such."""
        message, rank = self.tables.message, self.tables.rank
        special = {key: v for key, v in messages.items() if v[0] < LAST_PLACE or v[1] is not None}
        if not special:
            return
        for some in chunks(sorted(special)):
            rows = connection.execute(
                sa.select(message.c.id, message.c.queue_id).where(message.c.id.in_(some))
            )
            values = [
                {
                    "message_id": identifier,
                    "queue_id": queue,
                    "place": special[identifier][0],
                    "expires_at": special[identifier][1],
                }
                for identifier, queue in rows
            ]
            if values:
                connection.execute(sa.insert(rank), values)

    def renew(self, connection: sa.Connection, claims: Iterable[Claim], seconds: float) -> None:
        """Start the leases anew that still are these claims'."""
        lease = self.tables.lease
        until = self.database.dialect.now() + sa.literal(seconds, sa.Double())
        for receipt, identifiers in by_holding(claims).items():
            for some in chunks(sorted(identifiers)):
                connection.execute(
                    sa.update(lease)
                    .where(lease.c.message_id.in_(some), lease.c.receipt == receipt)
                    .values(until=until)
                )

    def set_aside(self, connection: sa.Connection, identifiers: Sequence[int]) -> None:
        """Leave what is no message out of sight for good."""
        lease = self.tables.lease
        connection.execute(
            sa.update(lease)
            .where(lease.c.message_id.in_(identifiers))
            .values(until=None, receipt="quarantined")
        )

    # ---- what time brings

    def overdue(self, connection: sa.Connection, limit: int) -> tuple[list[Any], list[str]]:
        """Show again what leases have run out and delays have ended: rows, names of queues."""
        message, lease, queue = self.tables.message, self.tables.lease, self.tables.queue
        rows = connection.execute(
            self._locking(
                sa.select(lease)
                .where(lease.c.until <= self.database.dialect.now())
                .order_by(lease.c.until)
                .limit(limit)
            )
        ).all()
        if not rows:
            return [], []
        ended: dict[int, tuple[int, float | None]] = {}
        payloads: dict[int, str] = {}
        for some in chunks(rows):
            identifiers = [row.message_id for row in some]
            held = {row.message_id for row in some if row.receipt is not None}
            for row in some:
                place = LAST_PLACE if row.place is None else row.place
                ended[row.message_id] = (place, row.expires_at)
            stored = sa.select(message.c.id, message.c.payload).where(message.c.id.in_(held))
            for identifier, payload in connection.execute(stored) if held else ():
                envelope = parse(payload)
                if envelope is not None:
                    payloads[identifier] = dumps({**envelope, "redelivered": True})
            connection.execute(sa.delete(lease).where(lease.c.message_id.in_(identifiers)))
        self.show(connection, ended, payloads)
        names = sa.select(queue.c.name).where(queue.c.id.in_({row.queue_id for row in rows}))
        return list(rows), list(connection.execute(names).scalars())

    def expired(self, connection: sa.Connection, limit: int) -> list[tuple[str, Taken]]:
        """Waiting messages past their deadline, locked, with the names of their queues."""
        message, rank, queue = self.tables.message, self.tables.rank, self.tables.queue
        source = rank.join(message, message.c.id == rank.c.message_id)
        past = rank.c.expires_at <= self.database.dialect.now()
        rows = connection.execute(
            self._locking(
                sa.select(message.c.id, message.c.payload, message.c.version, message.c.queue_id)
                .select_from(source)
                .where(past, message.c.visible == sa.true())
                .order_by(rank.c.expires_at)
                .limit(limit)
            )
        ).all()
        if not rows:
            self._drop_orphans(connection, past)
            return []
        names = sa.select(queue.c.id, queue.c.name).where(
            queue.c.id.in_({row.queue_id for row in rows})
        )
        by_id = {row[0]: row[1] for row in connection.execute(names)}
        return [(by_id[row.queue_id], Taken(*row[:3])) for row in rows if row.queue_id in by_id]

    def next_event(self, connection: sa.Connection) -> tuple[float | None, float | None]:
        """Seconds until the next lease or delay ends, and until the next deadline."""
        lease, rank = self.tables.lease, self.tables.rank
        now = self.database.dialect.now()
        row = connection.execute(
            sa.select(
                sa.select(sa.func.min(lease.c.until) - now).scalar_subquery(),
                sa.select(sa.func.min(rank.c.expires_at) - now).scalar_subquery(),
            )
        ).one()
        return row[0], row[1]


def by_holding(claims: Iterable[Claim]) -> dict[str, list[int]]:
    """Claims of one batch share a holding, so that one statement settles them."""
    groups: dict[str, list[int]] = defaultdict(list)
    for claim in claims:
        groups[claim.receipt.holding].append(claim.receipt.message)
    return groups
