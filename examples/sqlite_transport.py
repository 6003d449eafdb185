"""A complete transport: messages in one SQLite file, shared by the processes of a machine."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from amqp.exceptions import RecoverableConnectionError

from kombu.transport import virtual
from kombu.transport.errors import ErrorRow, ErrorTable
from kombu.transport.features import Features
from kombu.transport.options import option, seconds
from kombu.transport.virtual.settings import VirtualOptions
from kombu.transport.virtual.store import Claim, Put, QueueSpec, Store, TopologyStore
from kombu.transport.virtual.topology import Topology

SCHEMA = """
CREATE TABLE IF NOT EXISTS queues (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT, priority INT, ready_at REAL, message TEXT,
  deliveries INT DEFAULT 0, holding TEXT DEFAULT '', until REAL DEFAULT 0);
CREATE TABLE IF NOT EXISTS bindings (
  exchange TEXT, routing_key TEXT, pattern TEXT, queue TEXT,
  UNIQUE (exchange, routing_key, pattern, queue));
CREATE INDEX IF NOT EXISTS waiting ON messages (queue, priority DESC, id);
"""
READY = "queue = ? AND ready_at <= ? AND until <= ?"
ERRORS = ErrorTable([
    ErrorRow(sqlite3.OperationalError, "connection"),
    ErrorRow(sqlite3.DatabaseError, "channel", recoverable=False),
])  # fmt: skip


@dataclass(frozen=True, eq=False)
class Options(VirtualOptions):
    path: str = option("broker.sqlite", "file of the broker")
    lease: float = option(30.0, "seconds after which a dead consumer's messages return",
                          parse=seconds)  # fmt: skip


class SQLiteStore(Store):
    features = Features(
        priority=True, message_ttl=True, dead_letter=True, delay=True, mandatory=True,
        confirms=True, leases=True, ordered=True, shared=True,
        shared_topology=True, durable=True, batch_publish=True,
        native=frozenset({"priority", "delay"}),
    )  # fmt: skip
    claim_window = 20

    def __init__(self, options: Options) -> None:
        self.lease = options.lease
        self._longest_pause = options.polling_interval or 0.05
        self._owner = uuid4().hex
        self._holdings = 0
        self._wake = threading.Event()
        self._lock = threading.RLock()
        self._closed = False
        with ERRORS.mapped("open the file"):
            self._db = sqlite3.connect(options.path, timeout=5, check_same_thread=False)
            self._db.executescript(SCHEMA)

    def run(self, *statements: tuple[str, Sequence[object]]) -> list[tuple]:
        """Statements in one transaction; the rows of the last one."""
        if self._closed:
            raise RecoverableConnectionError("the connection to the SQLite broker is closed")
        with self._lock, ERRORS.mapped("use the file"), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            rows: list[tuple] = []
            for sql, values in statements:
                rows = self._db.execute(sql, values).fetchall()
            return rows

    def declare(self, queue: QueueSpec) -> None:
        self.run(("INSERT OR IGNORE INTO queues VALUES (?)", [queue.name]))

    def delete(self, queue: str) -> int:
        size = self.size(queue)
        self.run(("DELETE FROM messages WHERE queue = ?", [queue]),
                  ("DELETE FROM bindings WHERE queue = ?", [queue]),
                  ("DELETE FROM queues WHERE name = ?", [queue]))  # fmt: skip
        return size

    def exists(self, queue: str) -> bool:
        return bool(self.run(("SELECT 1 FROM queues WHERE name = ?", [queue])))

    def size(self, queue: str) -> int:
        now = time.time()
        sql = f"SELECT count(*) FROM messages WHERE {READY}"
        return self.run((sql, [queue, now, now]))[0][0]

    def purge(self, queue: str) -> int:
        now = time.time()
        sql = f"DELETE FROM messages WHERE {READY} RETURNING 1"
        return len(self.run((sql, [queue, now, now])))

    def put(self, puts: Sequence[Put]) -> None:
        sql = "INSERT INTO messages (queue, priority, ready_at, message) VALUES (?, ?, ?, ?)"
        self.run(*(("INSERT OR IGNORE INTO queues VALUES (?)", [name])
                    for name in {put.queue for put in puts}),
                  *((sql, [put.queue, put.priority, put.ready_at or 0, json.dumps(put.message)])
                    for put in puts))  # fmt: skip

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        claims: list[Claim] = []
        for queue in queues:
            now, self._holdings = time.time(), self._holdings + 1
            holding = f"{self._owner}-{self._holdings}"
            sql = f"""UPDATE messages SET holding = ?, until = ?, deliveries = deliveries + 1
                WHERE id IN (SELECT id FROM messages WHERE {READY}
                             ORDER BY priority DESC, id LIMIT ?)
                RETURNING priority, id, message, deliveries"""
            values = [holding, now + self.lease, queue, now, now, limit - len(claims)]
            rows = self.run((sql, values)) if limit > len(claims) else []
            claims += [
                Claim(queue, json.loads(message), (number, holding), count > 1, count - 1)
                for _, number, message, count in sorted(rows, key=lambda row: (-row[0], row[1]))
            ]
        return claims

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        done = "DELETE FROM messages WHERE id = ? AND holding = ?"
        back = "UPDATE messages SET holding = '', until = 0 WHERE id = ? AND holding = ?"
        self.run(*((done, claim.receipt) for claim in (*acks, *rejects)),
                  *((back, claim.receipt) for claim in releases))  # fmt: skip

    def renew(self, claims: Sequence[Claim]) -> None:
        sql = "UPDATE messages SET until = ? WHERE id = ? AND holding = ?"
        until = time.time() + self.lease
        self.run(*((sql, [until, *claim.receipt]) for claim in claims))

    def wait(self, queues: Sequence[str], timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.001
        while not any(self.size(queue) for queue in queues):
            left = pause if deadline is None else min(pause, deadline - time.monotonic())
            if left <= 0 or self._wake.wait(left):
                self._wake.clear()
                return False
            pause = min(pause * 2, self._longest_pause)
        return True

    def interrupt(self) -> None:
        self._wake.set()

    def close(self) -> None:
        if not self._closed:
            back = "UPDATE messages SET holding = '', until = 0 WHERE holding GLOB ?"
            self.run((back, [f"{self._owner}-*"]))
            self._closed = True
            self._db.close()


class Bindings(TopologyStore):
    """Bindings in the same file, so that a message finds queues that others bound."""

    def __init__(self, run: Callable[..., list[tuple]]) -> None:
        self._run = run

    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        row = [exchange, routing_key, pattern, queue]
        self._run(("INSERT OR IGNORE INTO bindings VALUES (?, ?, ?, ?)", row))

    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        sql = """DELETE FROM bindings
            WHERE exchange = ? AND routing_key = ? AND pattern = ? AND queue = ?"""
        self._run((sql, [exchange, routing_key, pattern, queue]))

    def bindings(self, exchange: str) -> list[tuple]:
        sql = "SELECT routing_key, pattern, queue FROM bindings WHERE exchange = ?"
        return self._run((sql, [exchange]))

    def delete_exchange(self, exchange: str) -> None:
        self._run(("DELETE FROM bindings WHERE exchange = ?", [exchange]))


class Transport(virtual.Transport):
    Options = Options
    errors = ERRORS
    driver_type = driver_name = "sqlite"
    features = SQLiteStore.features

    def create_store(self) -> Store:
        return SQLiteStore(self.options)

    def create_topology(self) -> Topology:
        return Topology(shared=Bindings(lambda *work: self.connected_to(SQLiteStore).run(*work)))

    def driver_version(self) -> str:
        return sqlite3.sqlite_version
