"""The tables.

``kombu_queue`` and ``kombu_message`` are those of published peers, to the letter. What is ours
stands in tables beside them, so that a database serves both, whoever created it:

``kombu_message_lease``
    a row for every message that is out of sight for a time: claimed (``receipt`` names the
    holding) or delayed (``receipt`` is NULL), until the server's clock says ``until``. A row
    without ``until`` is one that was set aside because it is no message.
``kombu_message_rank``
    a row for every waiting message with a priority or a deadline; ``place`` is 9 minus the
    priority, so that one ascending index gives the order.
``kombu_queue_options``, ``kombu_queue_exchange``, ``kombu_queue_binding``
    arguments of queues, exchange types and bindings.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from kombu.transport.sqlalchemy.options import MESSAGE_TABLE, QUEUE_TABLE

#: Longest name of a queue, exchange or routing key that the tables hold.
NAME_LENGTH = 200
KEY_LENGTH = 255

_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mariadb_engine": "InnoDB"}


def _exact_text(length: int) -> Any:
    """Text that is compared byte by byte, as names in AMQP are."""
    plain = sa.String(length)
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return plain.with_variant(binary, "mysql", "mariadb")


def _identifier() -> Any:
    return sa.Integer().with_variant(sa.BigInteger(), "mssql")


class Tables:
    """All tables of one broker.

    Arguments:
        queues: name of the table of queues.
        messages: name of the table of messages.
        by_range: how :meth:`waiting` is said.
    """

    def __init__(
        self, queues: str = QUEUE_TABLE, messages: str = MESSAGE_TABLE, by_range: bool = True
    ) -> None:
        self.by_range = by_range
        self.metadata = sa.MetaData()
        self.queue = self._queue(queues)
        self.message = self._message(messages, queues)
        self.lease = self._lease(messages)
        self.rank = self._rank(messages)
        self.options = self._options(queues)
        self.exchange = self._exchange(queues)
        self.binding = self._binding(queues)
        #: What makes a claim cost the same however many messages wait.
        self.ready_index = self._ready_index(messages)

    def waiting(self, queue: Any) -> tuple[sa.ColumnElement[bool], ...]:
        """What the waiting messages of a queue have in common.

        Said as a range, and with :attr:`in_order` beside, so that a planner has one way only:
        the index. By an equality it may read the primary key, past all other queues' messages;
        SQLite does not, but by a range would sort.
        """
        columns = self.message.c
        ready = columns.visible == sa.true()
        if self.by_range:
            return (columns.queue_id >= queue, columns.queue_id <= queue, ready)
        return (columns.queue_id == queue, ready)

    @property
    def in_order(self) -> tuple[sa.ColumnElement[Any], ...]:
        """The order of :meth:`waiting`: the oldest first."""
        columns = self.message.c
        return (columns.queue_id, columns.visible, columns.id)

    def _queue(self, name: str) -> sa.Table:
        return sa.Table(
            name,
            self.metadata,
            sa.Column(
                "id",
                _identifier(),
                sa.Sequence("queue_id_sequence"),
                primary_key=True,
                autoincrement=True,
            ),
            sa.Column("name", sa.String(NAME_LENGTH), unique=True),
            sqlite_autoincrement=True,
            **_MYSQL,
        )

    def _message(self, name: str, queues: str) -> sa.Table:
        table = sa.Table(
            name,
            self.metadata,
            sa.Column(
                "id",
                _identifier(),
                sa.Sequence("message_id_sequence"),
                primary_key=True,
                autoincrement=True,
            ),
            sa.Column("visible", sa.Boolean(create_constraint=False)),
            sa.Column("timestamp", sa.DateTime()),
            sa.Column("payload", sa.Text(), nullable=False),
            sa.Column("version", sa.SmallInteger(), nullable=False),
            sa.Column(
                "queue_id", _identifier(), sa.ForeignKey(f"{queues}.id", name=f"FK_{name}_queue")
            ),
            sqlite_autoincrement=True,
            **_MYSQL,
        )
        sa.Index(f"ix_{name}_visible", table.c.visible)
        sa.Index(f"ix_{name}_timestamp", table.c.timestamp)
        sa.Index(f"ix_{name}_timestamp_id", table.c.timestamp, table.c.id)
        return table

    def _ready_index(self, messages: str) -> sa.Index:
        columns = self.message.c
        return sa.Index(
            f"ix_{messages}_ready",
            columns.queue_id,
            columns.visible,
            columns.id,
            postgresql_where=columns.visible == sa.true(),
            sqlite_where=columns.visible == sa.true(),
        )

    def _owned_by_message(self) -> sa.Column[int]:
        return sa.Column(
            "message_id",
            _identifier(),
            sa.ForeignKey(self.message.c.id, ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        )

    def _lease(self, messages: str) -> sa.Table:
        return sa.Table(
            f"{messages}_lease",
            self.metadata,
            self._owned_by_message(),
            sa.Column("queue_id", _identifier(), nullable=False),
            sa.Column("receipt", sa.String(64)),
            sa.Column("until", sa.Double(), index=True),
            sa.Column("place", sa.SmallInteger()),
            sa.Column("expires_at", sa.Double()),
            **_MYSQL,
        )

    def _rank(self, messages: str) -> sa.Table:
        table = sa.Table(
            f"{messages}_rank",
            self.metadata,
            self._owned_by_message(),
            sa.Column("queue_id", _identifier(), nullable=False),
            sa.Column("place", sa.SmallInteger(), nullable=False),
            sa.Column("expires_at", sa.Double(), index=True),
            **_MYSQL,
        )
        sa.Index(f"ix_{messages}_rank_order", table.c.queue_id, table.c.place, table.c.message_id)
        return table

    def _options(self, queues: str) -> sa.Table:
        return sa.Table(
            f"{queues}_options",
            self.metadata,
            sa.Column("queue", _exact_text(NAME_LENGTH), primary_key=True),
            sa.Column("arguments", sa.Text(), nullable=False),
            **_MYSQL,
        )

    def _exchange(self, queues: str) -> sa.Table:
        return sa.Table(
            f"{queues}_exchange",
            self.metadata,
            sa.Column("name", _exact_text(NAME_LENGTH), primary_key=True),
            sa.Column("type", sa.String(100), nullable=False),
            **_MYSQL,
        )

    def _binding(self, queues: str) -> sa.Table:
        return sa.Table(
            f"{queues}_binding",
            self.metadata,
            sa.Column("exchange", _exact_text(NAME_LENGTH), primary_key=True),
            sa.Column("routing_key", _exact_text(KEY_LENGTH), primary_key=True),
            sa.Column("queue", _exact_text(NAME_LENGTH), primary_key=True, index=True),
            sa.Column("pattern", sa.Text()),
            **_MYSQL,
        )
