"""The tables that published peers share."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from kombu.transport.sqlalchemy.models import Tables

#: Table -> what the published kombu 5.7.0 creates.
PUBLISHED = {
    "sqlite": {
        "kombu_queue": "CREATE TABLE kombu_queue ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "
        "name VARCHAR(200), UNIQUE (name) )",
        "kombu_message": "CREATE TABLE kombu_message ( id INTEGER NOT NULL PRIMARY KEY "
        "AUTOINCREMENT, visible BOOLEAN, timestamp DATETIME, payload TEXT NOT NULL, version "
        'SMALLINT NOT NULL, queue_id INTEGER, CONSTRAINT "FK_kombu_message_queue" FOREIGN '
        "KEY(queue_id) REFERENCES kombu_queue (id) )",
    },
    "postgresql": {
        "kombu_queue": "CREATE TABLE kombu_queue ( id INTEGER NOT NULL, name VARCHAR(200), "
        "PRIMARY KEY (id), UNIQUE (name) )",
        "kombu_message": "CREATE TABLE kombu_message ( id INTEGER NOT NULL, visible BOOLEAN, "
        "timestamp TIMESTAMP WITHOUT TIME ZONE, payload TEXT NOT NULL, version SMALLINT NOT NULL, "
        'queue_id INTEGER, PRIMARY KEY (id), CONSTRAINT "FK_kombu_message_queue" FOREIGN '
        "KEY(queue_id) REFERENCES kombu_queue (id) )",
    },
    "mysql": {
        "kombu_queue": "CREATE TABLE kombu_queue ( id INTEGER NOT NULL AUTO_INCREMENT, name "
        "VARCHAR(200), PRIMARY KEY (id), UNIQUE (name) )ENGINE=InnoDB",
        "kombu_message": "CREATE TABLE kombu_message ( id INTEGER NOT NULL AUTO_INCREMENT, visible "
        "BOOL, timestamp DATETIME, payload TEXT NOT NULL, version SMALLINT NOT NULL, queue_id "
        "INTEGER, PRIMARY KEY (id), CONSTRAINT `FK_kombu_message_queue` FOREIGN KEY(queue_id) "
        "REFERENCES kombu_queue (id) )ENGINE=InnoDB",
    },
}
DIALECTS = {"sqlite": sqlite, "postgresql": postgresql, "mysql": mysql}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("table", ["kombu_queue", "kombu_message"])
def test_tables_are_created_as_published(dialect: str, table: str) -> None:
    create = sa.schema.CreateTable(Tables().metadata.tables[table])
    text = str(create.compile(dialect=DIALECTS[dialect].dialect()))
    assert re.sub(r"\s+", " ", text).strip() == PUBLISHED[dialect][table]


def test_published_indexes_and_sequences() -> None:
    tables = Tables()
    names = {str(index.name) for index in tables.message.indexes}
    assert names >= {
        "ix_kombu_message_visible",
        "ix_kombu_message_timestamp",
        "ix_kombu_message_timestamp_id",
    }
    assert tables.queue.c.id.default.name == "queue_id_sequence"
    assert tables.message.c.id.default.name == "message_id_sequence"
