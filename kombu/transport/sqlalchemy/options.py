"""What ``transport_options`` an SQL connection takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kombu.transport.options import boolean, option, seconds
from kombu.transport.virtual.settings import VirtualOptions

#: Tables as published peers name them.
QUEUE_TABLE = "kombu_queue"
MESSAGE_TABLE = "kombu_message"


def _window(value: Any) -> int:
    number = int(value)
    if number < 1:
        raise ValueError("must be at least 1")
    return number


@dataclass(frozen=True)
class SqlOptions(VirtualOptions):
    """Names and defaults as published, and below them those that are ours.

    Options that are not listed go to :func:`sqlalchemy.create_engine`.
    """

    queue_tablename: str = option(QUEUE_TABLE, "table of queues")
    message_tablename: str = option(MESSAGE_TABLE, "table of messages")

    lease: float = option(60.0, "seconds a dead consumer's messages are held back", parse=seconds)
    claim_window: int = option(
        100, "messages one claim takes for a consumer without a prefetch limit", parse=_window
    )
    connect_timeout: float | None = option(
        None, "seconds to reach the server; None: the connection's own limit", parse=seconds
    )
    statement_timeout: float = option(
        30.0, "seconds any one statement, or its wait for a lock, may take", parse=seconds
    )
    create_tables: bool = option(
        True, "create what is missing of tables, indexes and sequences", parse=boolean
    )
    listen_notify: bool = option(
        True, "PostgreSQL: wake consumers by LISTEN and NOTIFY", parse=boolean
    )
    notify_trigger: bool = option(
        True, "PostgreSQL: a trigger notifies on behalf of producers that don't", parse=boolean
    )
    sqlite_journal_mode: str = option(
        "WAL", "SQLite: journal of the file; DELETE where it lies on a network share"
    )
    engine: Mapping[str, Any] = option(
        factory=dict, doc="further arguments of sqlalchemy.create_engine"
    )

    @classmethod
    def parse(cls, given: Mapping[str, Any], transport: str) -> SqlOptions:
        """Read the options; what this transport does not know is the engine's."""
        known = cls.names()
        options = super().parse({k: v for k, v in given.items() if k in known}, transport)
        rest = {key: value for key, value in given.items() if key not in known}
        return replace(options, engine={**options.engine, **rest})
