"""What waits in one queue costs nobody else anything."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from kombu.testing.conformance.store import bodies, envelope
from kombu.transport.virtual.store import Put, QueueSpec
from t.integration.sqlalchemy.test_store import open_on

#: Enough for every planner to prefer an index where it can.
BACKLOG = 5000


@pytest.mark.parametrize("fed", ["old", "empty"])
def test_looking_and_claiming_step_into_the_index(database_url: str, fed: str) -> None:
    store = open_on(database_url)
    for name in ("old", "empty"):
        store.declare(QueueSpec(name))
    for _ in range(BACKLOG // 500):
        store.put([Put("old", envelope("waits"))] * 500)
    if store.database.name == "postgresql":
        store.database.write("analyze", lambda c: c.exec_driver_sql("ANALYZE kombu_message"))
    if fed == "empty":
        store.put([Put("empty", envelope("new"))])
    seen: list[tuple[str, Any]] = []

    def note(conn: Any, cursor: Any, statement: str, values: Any, *rest: Any) -> None:
        seen.append((statement, values))

    sa.event.listen(store.database.engine, "before_cursor_execute", note)
    claims = store.claim([fed], 1)
    sa.event.remove(store.database.engine, "before_cursor_execute", note)
    assert bodies(claims) == ["new" if fed == "empty" else "waits"]
    plans = [plan(store.database.engine, *each) for each in seen if "payload" in each[0]]
    plans += [plan(store.database.engine, *each) for each in seen if "kombu_queue.name" in each[0]]
    assert len(plans) >= 2
    for text in plans:
        assert "ix_kombu_message_ready" in text, text
    store.close()


def plan(engine: sa.Engine, statement: str, values: Any) -> str:
    how = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(how + statement, values).all()
        return "\n".join(" ".join(map(str, row)) for row in rows)
