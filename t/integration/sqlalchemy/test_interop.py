"""The published kombu 5.7.0 and ours share a database, whoever created its tables."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kombu import Connection, Queue
from t.peers import published_python, without_paths

PEER = Path(__file__).with_name("published_peer.py")
Peer = Callable[..., list[Any]]


@pytest.fixture
def peer(database_url: str) -> Peer:
    python = published_python("psycopg[binary]", "pymysql")

    def run(what: str, count: int) -> list[Any]:
        done = subprocess.run(
            [python, str(PEER), f"sqla+{database_url}", "shared", what, str(count)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=PEER.parent,
            env=without_paths(),
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return list(json.loads(done.stdout.splitlines()[-1]))

    return run


def ours(database_url: str, **options: Any) -> Connection:
    return Connection(f"sqla+{database_url}", transport_options=options)


def put(connection: Connection, *numbers: int, **properties: Any) -> None:
    Queue("shared")(connection.default_channel).declare()
    producer = connection.Producer()
    for number in numbers:
        producer.publish({"n": number}, exchange="", routing_key="shared", **properties)


def take(connection: Connection, count: int) -> list[Any]:
    queue = Queue("shared")(connection.default_channel)
    taken = []
    for _ in range(count):
        message = queue.get()
        if message is None:
            break
        taken.append(message.payload["n"])
        message.ack()
    return taken


@pytest.mark.interop("queue", "published->ours")
def test_they_create_they_put_we_take(peer: Peer, database_url: str) -> None:
    peer("produce", 12)
    with ours(database_url) as connection:
        assert take(connection, 20) == list(range(12))
        assert peer("consume", 1) == []


@pytest.mark.interop("queue", "ours->published")
def test_we_create_we_put_they_take(peer: Peer, database_url: str) -> None:
    with ours(database_url) as connection:
        put(connection, 0, 1, 2)
        put(connection, 3, priority=9)
    assert sorted(each[0]["n"] for each in peer("consume", 10)) == [0, 1, 2, 3]
    with ours(database_url) as connection:
        assert take(connection, 5) == []


@pytest.mark.interop("requeue", "ours->published")
def test_they_never_see_what_we_hold_and_get_it_when_we_give_it_back(
    peer: Peer, database_url: str
) -> None:
    with ours(database_url) as connection:
        put(connection, 0, 1)
        held = Queue("shared")(connection.default_channel).get()
        assert held is not None
        assert [each[0]["n"] for each in peer("consume", 5)] == [1]
        held.requeue()
        assert [each[0] for each in peer("consume", 5)] == [{"n": 0}]


@pytest.mark.interop("requeue", "published->ours")
def test_what_they_requeue_comes_to_us_as_redelivered(peer: Peer, database_url: str) -> None:
    with ours(database_url) as connection:
        put(connection, 0)
        peer("requeue", 1)
        message = Queue("shared")(connection.default_channel).get()
        assert message is not None
        assert message.payload == {"n": 0}
        assert message.delivery_info["redelivered"]
        message.ack()


def test_what_they_took_does_not_keep_us_from_the_rest(peer: Peer, database_url: str) -> None:
    with ours(database_url) as connection:
        put(connection, *range(5), priority=9)
        put(connection, 5)
        assert len(peer("consume", 3)) == 3
        rest = take(connection, 5)
        assert len(rest) == 3
        assert rest[-1] == 5


def test_tables_are_the_published_ones(peer: Peer, database_url: str, tmp_path: Path) -> None:
    """The two tables have the same columns, whoever creates them."""
    with ours(database_url) as connection:
        connection.connect()
    engine = sa.create_engine(database_url)

    def columns() -> dict[str, list[tuple[str, str, bool]]]:
        inspector = sa.inspect(engine)
        return {
            table: [
                (str(each["name"]), str(each["type"]), bool(each["nullable"]))
                for each in inspector.get_columns(table)
            ]
            for table in ("kombu_queue", "kombu_message")
        }

    made_by_us = columns()
    with engine.begin() as connection:
        metadata = sa.MetaData()
        metadata.reflect(connection)
        metadata.drop_all(connection)
        if engine.dialect.name == "postgresql":
            for name in ("queue_id_sequence", "message_id_sequence"):
                connection.exec_driver_sql(f"DROP SEQUENCE IF EXISTS {name}")
    engine.dispose()
    peer("produce", 1)
    assert columns() == made_by_us
    engine.dispose()
