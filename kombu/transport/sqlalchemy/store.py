"""SQL tables as a store of leased messages.

A message that waits is visible, as published peers have it. One that is claimed or delayed is
not: a row in the table of leases says until when, and whoever sees that time pass shows it
again. All times are the database's.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa
from amqp.exceptions import ChannelError
from sqlalchemy.exc import IntegrityError

from kombu.transport.features import SHARED_STORE
from kombu.transport.sqlalchemy.database import Database
from kombu.transport.sqlalchemy.leases import (
    LAST_PLACE,
    Leases,
    Receipt,
    Taken,
)
from kombu.transport.sqlalchemy.limits import Limits
from kombu.transport.sqlalchemy.listen import DRIVERS, Announcer, Listening
from kombu.transport.sqlalchemy.queues import QueueInfo, Queues, ReadyQueue
from kombu.transport.sqlalchemy.watch import FileTimes
from kombu.transport.sweeping import Sweep
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.store import Claim, Discard, Put, QueueSpec, raise_failed
from kombu.transport.waking import Polling, Source, Waker, WakerStore
from kombu.utils.json import dumps
from kombu.utils.logfields import log_fields

logger = logging.getLogger(__name__)

#: How many overdue leases one sweep gives back, so that no claim waits long for it.
SWEEP_LIMIT = 1000
_SHORTEST_PAUSE = 0.001


class _Row(NamedTuple):
    """A message on its way into the table."""

    values: dict[str, Any]
    place: int
    ready_at: float | None
    expires_at: float | None

    @property
    def plain(self) -> bool:
        return self.place == LAST_PLACE and self.ready_at is None and self.expires_at is None


class SqlStore(WakerStore):
    """Messages in a table, claimed by hiding them and noting a lease beside.

    Arguments:
        database: the broker's; this store closes it.
        polling_interval: asked before each pause, seconds: the longest pause where the
            database can't tell us.
    """

    features = replace(
        SHARED_STORE,
        native=frozenset({"priority", "message_ttl", "max_length", "delay", "leases"}),
    )

    def __init__(self, database: Database, polling_interval: Callable[[], float]) -> None:
        self.database = database
        self.lease: float = database.options.lease
        self.claim_window = database.options.claim_window
        self.queues = Queues(database)
        self.leases = Leases(database)
        self.limits = Limits(database, self.leases)
        self.announcer = self._announcer()
        #: Ends of leases and delays.
        self._endings = Sweep()
        #: Deadlines of messages.
        self._deadlines = Sweep()
        self.waker = Waker(self._source(polling_interval), self._endings, self._deadlines)
        self._pid = os.getpid()

    def _announcer(self) -> Announcer | None:
        listens = self.database.name == "postgresql" and self.database.options.listen_notify
        if not listens:
            return None
        announcer = Announcer(self.database)
        announcer.prepare()
        return announcer

    def _source(self, polling_interval: Callable[[], float]) -> Source:
        engine = self.database.engine
        if self.announcer is not None and engine.driver in DRIVERS:
            return Listening(
                self.database, self.announcer.channel, engine.driver, self._endings.within
            )
        path = engine.url.database or ""
        if self.database.name == "sqlite" and not path.startswith("file:"):
            return FileTimes(path, polling_interval, self._endings.within)
        return Polling(self._has_work, polling_interval)

    def _has_work(self, queues: Sequence[str]) -> bool:
        if self.queues.ready(queues):
            return True
        self._endings.within(self._until_ending())  # nobody tells us of others' delays
        return False

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        self.queues.declare(queue)

    def delete(self, queue: str) -> int:
        return self.queues.delete(queue)

    def exists(self, queue: str) -> bool:
        return self.queues.exists(queue)

    def size(self, queue: str) -> int:
        return self.queues.size(queue)

    def purge(self, queue: str) -> int:
        return self.queues.purge(queue)

    # ---- putting

    def put(self, puts: Sequence[Put]) -> None:
        payloads = [dumps(put.message) for put in puts]
        names = {put.queue for put in puts}
        for again in (True, False):
            infos = {name: self.queues.info(name) for name in names}
            try:
                self._put(puts, payloads, infos)
                break
            except ChannelError as exc:
                # The queue was deleted, and perhaps made anew, since it was looked up.
                if not (again and isinstance(exc.__cause__, IntegrityError)):
                    raise
                self.queues.forget(names)
        self.waker.ring()

    def _put(
        self, puts: Sequence[Put], payloads: Sequence[str], infos: dict[str, QueueInfo]
    ) -> None:
        doing = f"put {len(puts)} message(s)"
        refused: dict[int, BaseException] = {}

        def work(connection: sa.Connection) -> None:
            refused.clear()
            if any(info.policy is not None and info.policy.bounded for info in infos.values()):
                refused.update(self.limits.refuse(connection, puts, infos))
            rows = [
                self._row(put, payload, infos[put.queue])
                for index, (put, payload) in enumerate(zip(puts, payloads, strict=True))
                if index not in refused
            ]
            self._insert(connection, rows)
            self._announce_put(connection, puts)

        rows = [self._row(p, text, infos[p.queue]) for p, text in zip(puts, payloads, strict=True)]
        alone = (
            len(puts) == 1
            and self.database.dialect.autocommit_reads
            and (self.announcer is None or self.announcer.by_trigger)
            and all(row.plain for row in rows)
            and all(info.policy is None or not info.policy.bounded for info in infos.values())
        )
        if alone:  # one statement is a transaction of its own
            with self.database.reading(doing) as connection:
                self._insert(connection, rows)
        else:
            self.database.write(doing, work)
        self._note_times(rows)
        raise_failed(puts, refused)

    def _row(self, put: Put, payload: str, info: QueueInfo) -> _Row:
        offset = self.database.clock.offset
        ready_at = put.ready_at
        if ready_at is not None and ready_at <= time.time():
            ready_at = None
        values = {
            "visible": ready_at is None,
            "payload": payload,
            "version": 1,
            "queue_id": info.identifier,
        }
        return _Row(
            values,
            LAST_PLACE - put.priority,
            None if ready_at is None else ready_at + offset,
            None if put.expires_at is None else put.expires_at + offset,
        )

    def _insert(self, connection: sa.Connection, rows: Sequence[_Row]) -> None:
        if not rows:
            return
        message, lease = self.database.tables.message, self.database.tables.lease
        plain = all(row.plain for row in rows)
        if plain and (len(rows) == 1 or connection.dialect.name in ("mysql", "mariadb")):
            # MySQL's drivers make one statement of many rows by themselves.
            connection.execute(sa.insert(message), [row.values for row in rows])
            return
        ranks: dict[int, tuple[int, float | None]] = {}
        delays: list[dict[str, Any]] = []
        for identifier, row in zip(self._numbered(connection, rows), rows, strict=True):
            if row.ready_at is None:
                ranks[identifier] = (row.place, row.expires_at)
                continue
            delays.append(
                {
                    "message_id": identifier,
                    "queue_id": row.values["queue_id"],
                    "receipt": None,
                    "until": row.ready_at,
                    "place": row.place,
                    "expires_at": row.expires_at,
                }
            )
        self.leases.rank(connection, ranks)
        if delays:
            connection.execute(sa.insert(lease), delays)

    def _numbered(self, connection: sa.Connection, rows: Sequence[_Row]) -> list[int]:
        """Insert rows one after the other and say their ids."""
        message = self.database.tables.message
        values = [row.values for row in rows]
        if connection.dialect.insert_executemany_returning_sort_by_parameter_order:
            numbered = sa.insert(message).returning(message.c.id, sort_by_parameter_order=True)
            return [int(each) for each in connection.execute(numbered, values).scalars()]
        identifiers = []
        for each in values:
            key = connection.execute(sa.insert(message).values(each)).inserted_primary_key
            assert key is not None
            identifiers.append(int(key[0]))
        return identifiers

    def _announce_put(self, connection: sa.Connection, puts: Sequence[Put]) -> None:
        if self.announcer is None:
            return
        names: set[str] = set()
        if not self.announcer.by_trigger:
            names.update(put.queue for put in puts)
        if any(put.ready_at is not None for put in puts):
            names.add("")
        self.announcer.tell(connection, names)

    def _note_times(self, rows: Sequence[_Row]) -> None:
        """Look again when the first of these becomes ready or expires."""
        now = self.database.clock.now()
        ready = [row.ready_at for row in rows if row.ready_at is not None]
        ends = [row.expires_at for row in rows if row.expires_at is not None]
        if ready:
            self._endings.within(min(ready) - now)
        if ends:
            self._deadlines.within(min(ends) - now)

    # ---- claiming

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        self._endings.run(self._give_back)
        ready = self.queues.ready(queues)
        if not ready:
            return []

        claims: list[Claim] = []
        at_once = self.database.dialect.writes_in_queries
        for queue in ready:
            left = limit - len(claims)
            if left <= 0:
                break
            if at_once and not queue.ranked:
                with self.database.reading("claim messages") as connection:
                    batch = self.leases.take_at_once(connection, queue.identifier, left, self.lease)
            else:
                batch = self.database.write(
                    "claim messages", partial(self._take, queue=queue, limit=left)
                )
            claims += self._to_claims(queue.name, *batch)
        return claims

    def _take(
        self, connection: sa.Connection, queue: ReadyQueue, limit: int
    ) -> tuple[str, list[Taken]]:
        return self.leases.take(connection, queue.identifier, limit, self.lease, queue.ranked)

    def _to_claims(self, queue: str, receipt: str, taken: Sequence[Taken]) -> list[Claim]:
        claims: list[Claim] = []
        foreign: list[int] = []
        for each in taken:
            message = parse(each.payload)
            if message is None:
                foreign.append(each.identifier)
                continue
            claims.append(
                Claim(
                    queue,
                    message,
                    Receipt(each.identifier, receipt),
                    redelivered=each.version > 1 or bool(message.get("redelivered")),
                    deliveries=max(each.version - 1, 0),
                )
            )
        if foreign:
            self.database.write(
                "set aside what is no message",
                lambda connection: self.leases.set_aside(connection, foreign),
            )
            logger.error(
                "rows %s of queue %r hold no message: set aside, not visible any more",
                foreign,
                queue,
                extra=log_fields(queue=queue, reason="quarantined"),
            )
        return claims

    # ---- settling

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        done = [*acks, *rejects]
        if not (done or releases):
            return

        def work(connection: sa.Connection) -> None:
            if done:
                self.leases.forget(connection, done)
            if releases:
                self.leases.give_back(connection, releases)
                if self.announcer is not None:
                    self.announcer.tell(connection, {claim.queue for claim in releases})

        doing = f"settle {len(done) + len(releases)} message(s)"
        if not releases and self.database.dialect.writes_in_queries:
            with self.database.reading(doing) as connection:
                self.leases.forget_at_once(connection, done)
        else:
            self.database.write(doing, work)
        if releases:
            self.waker.ring()

    def renew(self, claims: Sequence[Claim]) -> None:
        self.database.write(
            f"renew {len(claims)} lease(s)",
            lambda connection: self.leases.renew(connection, claims, self.lease),
        )

    # ---- what time brings

    def _give_back(self) -> float:
        """Give back what leases have run out and delays have ended; seconds until the next."""
        while (pause := self._until_ending()) <= 0:
            rows, names = self.database.write("give back what leases have run out", self._overdue)
            if names:
                self.waker.ring()
            if len(rows) < SWEEP_LIMIT:
                # What others hold locked they are giving back themselves.
                return max(self._until_ending(), _SHORTEST_PAUSE)
        return pause

    def _overdue(self, connection: sa.Connection) -> tuple[list[Any], list[str]]:
        rows, names = self.leases.overdue(connection, SWEEP_LIMIT)
        if self.announcer is not None:
            self.announcer.tell(connection, names)
        return rows, names

    def _until_ending(self) -> float:
        """Seconds until the next lease or delay ends, a third of a lease at most.

        The same query tells of the next deadline, which may be of another client's message.
        """
        with self.database.reading("look when the next lease ends") as connection:
            until, expires = self.leases.next_event(connection)
        if expires is not None:
            self._deadlines.within(float(expires))
        longest = self.lease / 3
        return longest if until is None else min(float(until), longest)

    def _until_deadline(self) -> float:
        with self.database.reading("look when the next message expires") as connection:
            _, expires = self.leases.next_event(connection)
        longest = self.lease / 3
        return longest if expires is None else min(float(expires), longest)

    def sweep(self, limit: int) -> list[Discard]:
        discards: list[Discard] = []
        if self.limits.due:
            discards = self._discard(self.limits.surplus, "maxlen", limit)
            self.limits.committed()

        def expire() -> float:
            expired = self._discard(self._expired, "expired", limit - len(discards))
            discards.extend(expired)
            return 0.0 if len(discards) >= limit else max(self._until_deadline(), _SHORTEST_PAUSE)

        if len(discards) < limit:
            self._deadlines.run(expire)
        return discards

    def _expired(self, connection: sa.Connection, limit: int) -> list[tuple[str, str, list[Taken]]]:
        batches: list[tuple[str, str, list[Taken]]] = []
        for queue, taken in self.leases.expired(connection, limit):
            receipt, held = self.leases.hold(connection, [taken], self.lease, ranked=True)
            batches.append((queue, receipt, held))
        return batches

    def _discard(
        self,
        find: Callable[[sa.Connection, int], list[tuple[str, str, list[Taken]]]],
        reason: Any,
        limit: int,
    ) -> list[Discard]:
        batches = self.database.write(
            f"take out messages: {reason}", lambda connection: find(connection, limit)
        )
        return [
            Discard(reason, claim)
            for queue, receipt, taken in batches
            for claim in self._to_claims(queue, receipt, taken)
        ]

    # ---- life

    def close(self) -> None:
        own = os.getpid() == self._pid
        if own:
            self.waker.close()
        self.database.close(own)
