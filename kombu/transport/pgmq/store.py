"""PGMQ queues as a store of leased messages.

A message is held by its ``vt``, the time until which it is invisible; its ``read_ct`` tells one
holding from the next.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from threading import Lock
from typing import Any, NamedTuple

import psycopg
from amqp.exceptions import ChannelError
from psycopg import sql
from psycopg.types.json import Jsonb

from kombu.transport.features import SHARED_STORE
from kombu.transport.pgmq.database import PgmqDatabase
from kombu.transport.pgmq.listen import InsertNotices
from kombu.transport.pgmq.names import queue_name, table_name
from kombu.transport.virtual.store import Claim, Envelope, PartialPutError, Put, QueueSpec
from kombu.transport.waking import Polling, Waker, WakerStore
from kombu.utils.json import dumps
from kombu.utils.logfields import log_fields

logger = logging.getLogger(__name__)

_READERS = {
    None: "SELECT * FROM pgmq.read(%s::text, %s::integer, %s::integer)",
    "grouped": "SELECT * FROM pgmq.read_grouped(%s::text, %s::integer, %s::integer)",
    "round_robin": "SELECT * FROM pgmq.read_grouped_rr(%s::text, %s::integer, %s::integer)",
}


class Receipt(NamedTuple):
    """What settles one holding of one message."""

    message: int
    reads: int


class PgmqStore(WakerStore):
    """Messages in PGMQ's queues.

    Arguments:
        database: the broker's; this store closes it.
    """

    features = replace(
        SHARED_STORE,
        priority=False,
        max_length=False,
        native=frozenset({"delay", "leases"}),
    )
    claim_window = 100

    def __init__(self, database: PgmqDatabase) -> None:
        self.database = database
        options = database.options
        self.lease: float = min(options.lease, options.visibility_timeout)
        self._known: set[str] = set()
        #: What this store holds: a receipt settles once.
        self._held: set[tuple[str, Receipt]] = set()
        self._lock = Lock()
        self._pid = os.getpid()
        interval = options.poll_interval_ms / 1000
        self.waker = Waker(
            InsertNotices(database, self._has_work)
            if options.use_notify
            else Polling(self._has_work, lambda: interval)
        )

    def _name(self, queue: str) -> str:
        return queue_name(queue, self.database.options.queue_name_prefix)

    def _table(self, queue: str) -> sql.Identifier:
        return sql.Identifier("pgmq", table_name(self._name(queue)))

    @property
    def _hold(self) -> int:
        """Seconds to be invisible; PGMQ knows whole ones."""
        return max(math.ceil(self.lease), 1)

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        doing = f"declare queue {queue.name!r}"
        if not self.exists(queue.name):
            self._create(queue)
        if queue.arguments:
            self.database.query(
                doing,
                "INSERT INTO kombu_pgmq_queue VALUES (%s, %s)"
                " ON CONFLICT (name) DO UPDATE SET arguments = excluded.arguments",
                (queue.name, Jsonb(dict(queue.arguments), dumps=dumps)),
            )
        self._known.add(queue.name)

    def _create(self, queue: QueueSpec) -> None:
        name, doing = self._name(queue.name), f"declare queue {queue.name!r}"
        given: Mapping[str, Any] = queue.arguments
        if given.get("x-pgmq-partitioned"):
            self.database.query(
                doing,
                "SELECT pgmq.create_partitioned(%s::text, %s::text, %s::text)",
                (
                    name,
                    str(given.get("x-pgmq-partition-interval", 10_000)),
                    str(given.get("x-pgmq-retention-interval", 100_000)),
                ),
            )
        else:
            self.database.query(doing, "SELECT pgmq.create(%s::text)", (name,))
        if given.get("x-pgmq-fifo-index") or self.database.options.fifo_mode:
            self.database.query(doing, "SELECT pgmq.create_fifo_index(%s::text)", (name,))
        if self.database.options.use_notify:
            self.database.query(
                doing,
                "SELECT pgmq.enable_notify_insert(%s::text, %s::integer)",
                (name, self.database.options.notify_throttle_interval_ms),
            )

    def exists(self, queue: str) -> bool:
        return bool(
            self.database.query(
                f"look up queue {queue!r}",
                "SELECT 1 FROM pgmq.meta WHERE queue_name = %s",
                (self._name(queue),),
            )
        )

    def _if_there(self, queue: str, doing: str, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement on a queue's table; nothing where there is none."""
        try:
            return self.database.query(doing, sql.SQL(statement).format(self._table(queue)))
        except ChannelError as exc:
            if isinstance(exc.__cause__, psycopg.errors.UndefinedTable):
                self._known.discard(queue)
                return []
            raise

    def size(self, queue: str) -> int:
        statement = "SELECT count(*) FROM {} WHERE vt <= clock_timestamp()"
        rows = self._if_there(queue, f"count queue {queue!r}", statement)
        return int(rows[0][0]) if rows else 0

    def purge(self, queue: str) -> int:
        statement = (
            "WITH gone AS (DELETE FROM {} WHERE vt <= clock_timestamp() RETURNING 1)"
            " SELECT count(*) FROM gone"
        )
        rows = self._if_there(queue, f"purge queue {queue!r}", statement)
        return int(rows[0][0]) if rows else 0

    def delete(self, queue: str) -> int:
        self._known.discard(queue)
        doing = f"delete queue {queue!r}"
        count = self.size(queue)
        self.database.query(doing, "DELETE FROM kombu_pgmq_binding WHERE queue = %s", (queue,))
        self.database.query(doing, "DELETE FROM kombu_pgmq_queue WHERE name = %s", (queue,))
        if self.exists(queue):
            self.database.query(doing, "SELECT pgmq.drop_queue(%s::text)", (self._name(queue),))
        return count

    # ---- putting

    def put(self, puts: Sequence[Put]) -> None:
        failed: dict[int, BaseException] = {}
        for queue, batch in self._batches(puts):
            rows = [self._row(put) for _, put in batch]
            try:
                self._send(queue, rows)
            except ChannelError as exc:
                if len(batch) == len(puts):
                    raise
                failed.update((index, exc) for index, _ in batch)
        self.waker.ring()
        if failed:
            raise PartialPutError(failed)

    @staticmethod
    def _batches(puts: Sequence[Put]) -> Iterable[tuple[str, list[tuple[int, Put]]]]:
        batches: dict[str, list[tuple[int, Put]]] = {}
        for index, put in enumerate(puts):
            batches.setdefault(put.queue, []).append((index, put))
        return batches.items()

    def _row(self, put: Put) -> tuple[Jsonb, Jsonb | None, datetime | None]:
        message = put.message
        properties = message.get("properties") or {}
        headers = dict(message.get("headers") or {})
        if properties.get("MessageGroupId") is not None:
            headers.setdefault("MessageGroupId", properties["MessageGroupId"])
        ready_at = put.ready_at
        delay = properties.get("DelaySeconds")
        if ready_at is not None:
            ready_at += self.database.clock.offset
        elif delay and int(delay) > 0:
            ready_at = self.database.clock.now() + int(delay)
        when = None if ready_at is None else datetime.fromtimestamp(ready_at, timezone.utc)
        return (
            Jsonb(message, dumps=dumps),
            Jsonb(headers, dumps=dumps) if headers else None,
            when,
        )

    def _send(self, queue: str, rows: list[tuple[Jsonb, Jsonb | None, datetime | None]]) -> None:
        doing = f"put {len(rows)} message(s)"
        # In one statement, so that all are stored or none.
        statement = (
            "SELECT pgmq.send(%s::text, message, headers, coalesce(at, clock_timestamp()))"
            " FROM unnest(%s::jsonb[], %s::jsonb[], %s::timestamptz[])"
            " WITH ORDINALITY AS row(message, headers, at, place) ORDER BY place"
        )
        columns = [list(column) for column in zip(*rows, strict=True)]
        values = (self._name(queue), *columns)
        try:
            self.database.query(doing, statement, values)
        except ChannelError as exc:
            if not isinstance(exc.__cause__, psycopg.errors.UndefinedTable):
                raise
            self._known.discard(queue)
            self.declare(QueueSpec(queue))
            self.database.query(doing, statement, values)

    # ---- claiming

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        claims: list[Claim] = []
        statement = _READERS[self.database.options.fifo_mode]
        for queue in queues:
            left = limit - len(claims)
            if left <= 0:
                break
            try:
                rows = self.database.query(
                    "claim messages", statement, (self._name(queue), self._hold, left)
                )
            except ChannelError as exc:
                if isinstance(exc.__cause__, psycopg.errors.UndefinedTable):
                    continue
                raise
            claims += self._to_claims(queue, sorted(rows))
        with self._lock:
            self._held.update((claim.queue, claim.receipt) for claim in claims)
        return claims

    def _to_claims(self, queue: str, rows: Iterable[tuple[Any, ...]]) -> Iterable[Claim]:
        for row in rows:
            identifier, reads, message = row[0], row[1], row[5]
            if not is_envelope(message):
                self.database.query(
                    "set aside what is no message",
                    "SELECT pgmq.archive(%s::text, %s::bigint)",
                    (self._name(queue), identifier),
                )
                logger.error(
                    "message %s of queue %r is none of ours: moved to PGMQ's archive",
                    identifier,
                    queue,
                    extra=log_fields(queue=queue, reason="quarantined"),
                )
                continue
            yield Claim(
                queue,
                self._told(message, queue, identifier, reads),
                Receipt(identifier, reads),
                redelivered=reads > 1,
                deliveries=reads - 1,
            )

    def _told(self, message: Envelope, queue: str, identifier: int, reads: int) -> Envelope:
        """The envelope with what published consumers find in its delivery info."""
        properties = message["properties"]
        info = dict(properties.get("delivery_info") or {})
        info["pgmq_queue"] = self._name(queue)
        info["pgmq_msg_id"] = identifier
        info["pgmq_message"] = {"msg_id": identifier, "read_ct": reads}
        return {**message, "properties": {**properties, "delivery_info": info}}

    # ---- settling

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        done, back = self._still([*acks, *rejects]), self._still(releases)
        for queue, receipts in done.items():
            self._of_holding(
                queue, receipts, "DELETE FROM {0} AS m USING {1} WHERE {2} RETURNING 1"
            )
        for queue, receipts in back.items():
            self._of_holding(
                queue,
                receipts,
                "UPDATE {0} AS m SET vt = clock_timestamp() FROM {1} WHERE {2} RETURNING 1",
            )
        with self._lock:
            self._held.difference_update(
                (queue, receipt)
                for groups in (done, back)
                for queue, receipts in groups.items()
                for receipt in receipts
            )
        if back:
            self.waker.ring()

    def _still(self, claims: Sequence[Claim]) -> dict[str, list[Receipt]]:
        """Those of the claims that this store holds, by queue."""
        groups: dict[str, list[Receipt]] = {}
        with self._lock:
            for claim in claims:
                if (claim.queue, claim.receipt) in self._held:
                    groups.setdefault(claim.queue, []).append(claim.receipt)
        return groups

    def _of_holding(self, queue: str, receipts: list[Receipt], statement: str) -> None:
        """Change messages whose read count still is that of the holding."""
        held = sql.SQL("unnest(%s::bigint[], %s::integer[]) AS held(id, reads)")
        same = sql.SQL("m.msg_id = held.id AND m.read_ct = held.reads")
        values = ([each.message for each in receipts], [each.reads for each in receipts])
        try:
            self.database.query(
                "settle messages",
                sql.SQL(statement).format(self._table(queue), held, same),
                values,
            )
        except ChannelError as exc:
            if not isinstance(exc.__cause__, psycopg.errors.UndefinedTable):
                raise

    def renew(self, claims: Sequence[Claim]) -> None:
        for queue, receipts in self._still(claims).items():
            self._of_holding(
                queue,
                receipts,
                "UPDATE {0} AS m SET vt = clock_timestamp() + "
                f"make_interval(secs => {self._hold:d}) FROM {{1}} WHERE {{2}} RETURNING 1",
            )

    # ---- waking

    def _has_work(self, queues: Sequence[str]) -> bool:
        looks = [
            # By now(), as an index serves it; clock_timestamp() would be asked of each message.
            sql.SQL("SELECT 1 FROM {} WHERE vt <= now()").format(self._table(queue))
            for queue in queues
            if queue in self._known or self.exists(queue)
        ]
        if not looks:
            return False
        self._known.update(queues)
        statement = sql.SQL("SELECT EXISTS ({})").format(sql.SQL(" UNION ALL ").join(looks))
        try:
            return bool(self.database.query("look for messages", statement)[0][0])
        except ChannelError as exc:
            if not isinstance(exc.__cause__, psycopg.errors.UndefinedTable):
                raise
            self._known.difference_update(queues)
            return False

    def close(self) -> None:
        if os.getpid() == self._pid:
            self.waker.close()
        self.database.close()


def is_envelope(message: Any) -> bool:
    """Whether a stored value is a message of ours."""
    return isinstance(message, dict) and isinstance(message.get("properties"), dict)
