"""The SQL store on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from amqp.exceptions import ChannelError, RecoverableConnectionError

from kombu.testing.conformance.store import StoreContract, bodies, envelope
from kombu.transport.sqlalchemy.database import Database
from kombu.transport.sqlalchemy.options import SqlOptions
from kombu.transport.sqlalchemy.store import SqlStore
from kombu.transport.virtual.store import PartialPutError, Put, QueueFull, QueueSpec

OpenStore = Callable[..., SqlStore]


def open_on(url: str, **options: object) -> SqlStore:
    database = Database(sa.make_url(url), SqlOptions.parse(options, "sql"), 5)
    database.prepare()
    return SqlStore(database, lambda: 0.1)


class TestSqlStore(StoreContract):
    @pytest.fixture
    def open_store(self, database_url: str) -> OpenStore:
        return lambda **options: open_on(database_url, **options)

    @pytest.fixture
    def short(self, open_store: OpenStore) -> Iterator[OpenStore]:
        opened: list[SqlStore] = []

        def open_short() -> SqlStore:
            opened.append(open_store(lease=0.5))
            return opened[-1]

        yield open_short
        for store in opened:
            store.close()

    def test_a_dead_owners_messages_return_within_the_lease(
        self, short: OpenStore, queue: str
    ) -> None:
        dead, living = short(), short()
        dead.put([Put(queue, envelope("low")), Put(queue, envelope("high"), priority=9)])
        self.claim(dead, queue, 2)
        again = self.claim(living, queue, 2)
        assert bodies(again) == ["high", "low"]
        assert all(claim.redelivered and claim.deliveries == 1 for claim in again)

    @pytest.mark.parametrize("jump", [3600, -3600], ids=["ahead", "back"])
    def test_a_jump_of_the_clock_changes_no_time(
        self, open_store: OpenStore, queue: str, jump: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = open_store()
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + jump)
        soon, lasts = time.time() + 0.2, time.time() + 60
        store.put([Put(queue, envelope("lasts"), expires_at=lasts)])
        store.put([Put(queue, envelope("soon"), ready_at=soon)])
        assert store.sweep(5) == []
        assert bodies(self.claim(store, queue, 2)) == ["lasts", "soon"]
        store.close()

    def test_a_renewed_lease_holds(self, short: OpenStore, queue: str) -> None:
        owner, other = short(), short()
        self.put(owner, queue, "a")
        claims = self.claim(owner, queue, 1)
        for _ in range(4):
            owner.renew(claims)
            other.wait([queue], 0.2)
            assert other.claim([queue], 1) == []

    def test_nothing_is_left_of_an_acked_message(self, store: SqlStore, queue: str) -> None:
        self.put(store, queue, "a", "b", priority=5)
        self.put(store, queue, "c")
        store.settle(acks=self.claim(store, queue, 3))
        tables = store.database.tables
        with store.database.reading("count") as connection:
            for table in (tables.message, tables.lease, tables.rank):
                count = sa.select(sa.func.count()).select_from(table)
                assert connection.execute(count).scalar_one() == 0, table.name

    def test_what_is_no_message_is_set_aside(
        self, store: SqlStore, queue: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        message = store.database.tables.message
        identifier = store.queues.info(queue).identifier
        foreign = {"visible": True, "payload": "{", "version": 1, "queue_id": identifier}
        store.database.write("put", lambda c: c.execute(sa.insert(message).values(foreign)))
        self.put(store, queue, "ours")
        assert bodies(self.claim(store, queue, 1)) == ["ours"]
        assert store.claim([queue], 5) == []
        assert "set aside" in caplog.text
        with store.database.reading("look") as connection:
            kept = connection.execute(sa.select(message.c.payload)).scalars().all()
        assert "{" in kept

    def test_a_batch_is_stored_whole_or_not_at_all(self, store: SqlStore, queue: str) -> None:
        unserializable = {**envelope("b"), "headers": {"x": object()}}
        with pytest.raises(TypeError):
            store.put([Put(queue, envelope("a")), Put(queue, unserializable)])
        assert store.size(queue) == 0

    def test_a_payload_too_long_for_the_table_is_refused(self, store: SqlStore, queue: str) -> None:
        """MariaDB's TEXT holds 64 KB; the message is stored whole or refused."""
        large = Put(queue, envelope("x" * 100_000))
        if store.database.name in ("mysql", "mariadb"):
            with pytest.raises(ChannelError, match="payload"):
                store.put([Put(queue, envelope("small")), large])
            assert store.size(queue) == 0
        else:
            store.put([large])
            assert len(bodies(self.claim(store, queue, 1))[0]) == 100_000

    def test_a_full_queue_refuses_all_of_a_batch_that_is_too_much(
        self, store: SqlStore, queue: str
    ) -> None:
        limited = {"x-max-length": 2, "x-overflow": "reject-publish"}
        store.declare(QueueSpec(queue, arguments=limited))
        with pytest.raises(PartialPutError) as caught:
            self.put(store, queue, "a", "b", "c")
        assert list(caught.value.failed) == [2]
        with pytest.raises(QueueFull):
            self.put(store, queue, "d")
        assert bodies(self.claim(store, queue, 2)) == ["a", "b"]

    def test_a_queue_deleted_and_made_again_by_others_is_found(
        self, stores: OpenStore, queue: str
    ) -> None:
        one, other = stores(), stores()
        self.put(one, queue, "before")
        other.delete(queue)
        other.declare(QueueSpec(queue))
        self.put(one, queue, "after")
        assert bodies(self.claim(other, queue, 1)) == ["after"]

    def test_expired_messages_are_handed_over(self, store: SqlStore, queue: str) -> None:
        store.put(
            [
                Put(queue, envelope("short"), expires_at=time.time() + 0.2),
                Put(queue, envelope("long"), expires_at=time.time() + 60),
                Put(queue, envelope("for ever")),
            ]
        )
        discards = []
        deadline = time.monotonic() + 5
        while not discards and time.monotonic() < deadline:
            store.wait([queue], 0.1)
            discards = store.sweep(10)
        assert [(each.reason, each.claim.message["body"]) for each in discards] == [
            ("expired", "short")
        ]
        store.settle(rejects=[each.claim for each in discards])
        assert bodies(self.claim(store, queue, 2)) == ["long", "for ever"]

    def test_rows_are_what_published_peers_read(self, store: SqlStore, queue: str) -> None:
        self.put(store, queue, "a")
        message = store.database.tables.message
        with store.database.reading("look") as connection:
            row = connection.execute(sa.select(message)).mappings().one()
        assert (row["visible"], row["timestamp"], row["version"]) == (True, None, 1)
        assert json.loads(row["payload"])["body"] == "a"
        claims = self.claim(store, queue, 1)
        with store.database.reading("look") as connection:
            held = connection.execute(sa.select(message)).mappings().one()
        assert (held["visible"], held["version"]) == (False, 2)
        store.settle(releases=claims)
        with store.database.reading("look") as connection:
            back = connection.execute(sa.select(message)).mappings().one()
        assert (back["id"], back["visible"], back["timestamp"]) == (row["id"], True, None)
        assert json.loads(back["payload"])["redelivered"] is True


@pytest.mark.server("postgres")
class TestOnPostgreSQL:
    @pytest.fixture(params=["trigger", "no trigger"])
    def open_store(
        self, request: pytest.FixtureRequest, servers: object, tmp_path: object
    ) -> Iterator[OpenStore]:
        from t.integration.sqlalchemy.databases import new_database

        url = new_database("postgresql", servers, tmp_path)  # type: ignore[arg-type]
        opened: list[SqlStore] = []

        def open_one() -> SqlStore:
            opened.append(open_on(url, notify_trigger=request.param == "trigger"))
            return opened[-1]

        yield open_one
        for store in opened:
            store.close()

    def test_a_put_of_another_queue_wakes_nobody(self, open_store: OpenStore) -> None:
        waiting, putting = open_store(), open_store()
        while waiting.wait(["mine"], 0.05):
            assert waiting.claim(["mine"], 1) == []
        putting.put([Put("other", envelope("a"))])
        assert not waiting.wait(["mine"], 0.3)
        assert waiting.wait(["other"], 0)
        putting.put([Put("mine", envelope("a"))])
        assert waiting.wait(["mine"], 5)

    def test_a_server_that_hangs_is_given_up(self, open_store: OpenStore) -> None:
        store = open_store()
        store.declare(QueueSpec("q"))
        store.close()
        url = store.database.engine.url.render_as_string(hide_password=False)
        hung = open_on(url, statement_timeout=1)
        with hung.database.reading("ask") as connection:
            backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        os.kill(backend, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            with pytest.raises(RecoverableConnectionError):
                for _ in range(3):
                    hung.put([Put("q", envelope("a"))])
            assert time.monotonic() - begun < 10
        finally:
            os.kill(backend, signal.SIGCONT)
        hung.put([Put("q", envelope("b"))])
        assert hung.size("q") >= 1
        hung.close()
