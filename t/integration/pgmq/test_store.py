"""The PGMQ store against a server."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from amqp.exceptions import RecoverableConnectionError
from psycopg import sql
from psycopg.types.json import Jsonb

from kombu import Connection, Exchange, Queue
from kombu.testing.conformance.store import StoreContract, bodies, envelope
from kombu.transport.pgmq.database import PgmqDatabase
from kombu.transport.pgmq.options import PgmqOptions
from kombu.transport.pgmq.store import PgmqStore
from kombu.transport.virtual.store import Put, QueueSpec
from t.services.pool import Servers

OpenStore = Callable[[], PgmqStore]


@pytest.fixture
def dsn(servers: Servers) -> str:
    return servers.env("postgres")["PGMQ_DSN"]


@pytest.fixture
def server(dsn: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """What another program sees."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.mark.server("postgres")
class TestPgmqStore(StoreContract):
    @pytest.fixture(params=[False, True], ids=["polling", "notify"])
    def open_store(self, request: pytest.FixtureRequest, dsn: str) -> OpenStore:
        def open_one() -> PgmqStore:
            options = PgmqOptions(conn_string=dsn, lease=1.0, use_notify=request.param)
            database = PgmqDatabase({"connect_timeout": 5}, options)
            database.prepare()
            return PgmqStore(database)

        return open_one

    def test_a_jump_of_the_clock_changes_no_delay(
        self, stores: OpenStore, queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = stores()
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + 3600)
        store.put([Put(queue, envelope("soon"), ready_at=time.time() + 0.2)])
        assert bodies(self.claim(store, queue, 1)) == ["soon"]

    def test_looking_costs_nothing_however_many_are_held(
        self, stores: OpenStore, queue: str, server: psycopg.Connection[tuple[object, ...]]
    ) -> None:
        """An index serves the look of a consumer that waits, which comes ten times a second."""
        store = stores()
        later = time.time() + 3600
        store.put([Put(queue, envelope("later"), ready_at=later) for _ in range(3000)])
        server.execute("ANALYZE")
        looks: list[Any] = []
        query = store.database.query

        def note(doing: str, statement: Any, values: Any = ()) -> Any:
            if doing == "look for messages":
                looks.append(statement)
            return query(doing, statement, values)

        store.database.query = note  # type: ignore[method-assign]
        while not looks:
            store.wait([queue], 0.01)
        plan = server.execute(sql.SQL("EXPLAIN ") + looks[-1]).fetchall()
        assert "Seq Scan" not in str(plan)

    def test_a_dead_owners_message_returns_within_its_lease(
        self, stores: OpenStore, queue: str
    ) -> None:
        dead, living = stores(), stores()
        self.put(dead, queue, "a", "b")
        self.claim(dead, queue, 2)
        again = self.claim(living, queue, 2)
        assert bodies(again) == ["a", "b"]
        assert all(claim.redelivered and claim.deliveries == 1 for claim in again)

    def test_what_is_no_message_goes_to_the_archive(
        self, stores: OpenStore, queue: str, server: psycopg.Connection[tuple[object, ...]]
    ) -> None:
        store = stores()
        name = queue.replace("-", "_")
        server.execute("SELECT pgmq.send(%s::text, %s::jsonb)", (name, Jsonb({"not": "ours"})))
        self.put(store, queue, "ours")
        assert bodies(self.claim(store, queue, 1)) == ["ours"]
        (count,) = server.execute(f"SELECT count(*) FROM pgmq.a_{name}").fetchone() or (None,)
        assert count == 1

    def test_names_too_long_for_pgmq(self, stores: OpenStore) -> None:
        store = stores()
        name = f"{uuid4()}.reply.celery.pidbox.and.more"
        store.declare(QueueSpec(name))
        store.put([Put(name, envelope("a"))])
        assert bodies(self.claim(store, name, 1)) == ["a"]
        store.delete(name)


@pytest.mark.server("postgres")
def test_a_server_that_hangs_is_given_up(dsn: str) -> None:
    database = PgmqDatabase(
        {"connect_timeout": 5}, PgmqOptions(conn_string=dsn, statement_timeout=1)
    )
    database.prepare()
    store = PgmqStore(database)
    name = f"hung_{uuid4().hex[:8]}"
    store.declare(QueueSpec(name))
    ((backend,),) = database.query("ask", "SELECT pg_backend_pid()")
    os.kill(backend, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(RecoverableConnectionError):
            store.put([Put(name, envelope("a"))])
        assert time.monotonic() - begun < 10
    finally:
        os.kill(backend, signal.SIGCONT)
    store.put([Put(name, envelope("b"))])
    assert store.size(name) >= 1
    store.delete(name)
    store.close()


@pytest.mark.server("postgres")
class TestWhatOthersSee:
    @pytest.fixture
    def connection(self, servers: Servers) -> Iterator[Connection]:
        with Connection(servers.env("postgres")["PGMQ_URL"]) as connection:
            yield connection

    def test_message_and_headers_columns(
        self, connection: Connection, server: psycopg.Connection[tuple[object, ...]]
    ) -> None:
        name = f"seen.{uuid4().hex[:8]}"
        queue = Queue(name)(connection.channel())
        queue.declare()
        connection.Producer().publish(
            {"n": 1}, exchange="", routing_key=name, headers={"h": 1}, MessageGroupId="g"
        )
        table = name.replace(".", "_")
        row = server.execute(f"SELECT message, headers FROM pgmq.q_{table}").fetchone()
        assert row is not None
        message, headers = row
        assert isinstance(message, dict)
        assert message["properties"]["delivery_info"] == {"exchange": "", "routing_key": name}
        assert headers == {"h": 1, "MessageGroupId": "g"}
        queue.delete()

    def test_topic_messages_of_peers_that_leave_matching_to_pgmq(
        self, connection: Connection, server: psycopg.Connection[tuple[object, ...]]
    ) -> None:
        name = f"topic_{uuid4().hex[:8]}"
        exchange = Exchange(f"ex.{name}", "topic")
        queue = Queue(name, exchange, "a.*")(connection.channel())
        queue.declare()
        message = Jsonb({**envelope("by topic")})
        key = f"kombu.topic.ex-d-{name}.a.b"
        (count,) = server.execute(
            "SELECT pgmq.send_topic(%s::text, %s::jsonb)", (key, message)
        ).fetchone() or (None,)
        assert count == 1
        received = queue.get()
        assert received is not None
        assert received.body in ("by topic", b"by topic")
        assert received.delivery_info["pgmq_message"]["read_ct"] == 1
        received.ack()
        queue.delete()

    def test_bindings_that_peers_made(
        self, connection: Connection, server: psycopg.Connection[tuple[object, ...]]
    ) -> None:
        name = f"peer_{uuid4().hex[:8]}"
        server.execute("SELECT pgmq.create(%s)", (name,))
        server.execute("SELECT pgmq.bind_topic(%s, %s)", (f"kombu.fanout.{name}", name))
        producer = connection.Producer(exchange=Exchange(name, "fanout"), auto_declare=True)
        producer.publish("to all")
        (count,) = server.execute(f"SELECT count(*) FROM pgmq.q_{name}").fetchone() or (None,)
        assert count == 1
        server.execute("SELECT pgmq.drop_queue(%s)", (name,))
