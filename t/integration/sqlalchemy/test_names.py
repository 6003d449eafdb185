"""Names that a database may take for one another."""

from __future__ import annotations

from pathlib import Path

import pytest
from amqp.exceptions import PreconditionFailed

from kombu.testing.conformance.store import bodies, envelope
from kombu.transport.sqlalchemy.store import SqlStore
from kombu.transport.virtual.store import Put
from t.integration.sqlalchemy.databases import new_database
from t.integration.sqlalchemy.test_store import open_on
from t.services.pool import Servers


def compare_names(store: SqlStore, collation: str) -> None:
    with store.database.reading("alter the table") as connection:
        connection.exec_driver_sql(
            f"ALTER TABLE kombu_queue MODIFY name VARCHAR(200) COLLATE {collation}"
        )


def test_case_and_accents_tell_queues_apart(database_url: str) -> None:
    store = open_on(database_url)
    if store.database.name in ("mysql", "mariadb"):
        compare_names(store, "utf8mb4_bin")
    names = ["abc", "Abc", "\u00e4bc"]
    for name in names:
        store.put([Put(name, envelope(name))])
    for name in names:
        assert bodies(store.claim([name], 5)) == [name]
    store.close()


@pytest.mark.server("mariadb")
def test_where_they_are_one_the_second_is_refused(servers: Servers, tmp_path: Path) -> None:
    """By default names are compared there by a language's rules; deleting one spares the other."""
    store = open_on(new_database("mariadb", servers, tmp_path))
    store.put([Put("abc", envelope("x"))])
    with pytest.raises(PreconditionFailed, match="binary collation"):
        store.put([Put("Abc", envelope("y"))])
    assert store.delete("Abc") == 0
    assert bodies(store.claim(["abc"], 5)) == ["x"]
    store.close()
