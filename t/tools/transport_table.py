"""The documentation's table of transports, from what the conformance suite saw.

``python -m t.tools.transport_table [RESULTS.json ...]``, where the results come from
``pytest t/conformance --conformance-json RESULTS.json``, in one run or in several. Transports
that were not run this time keep their row: rows are kept in ``docs/transports-table.json``, and
``docs/transports-table.rst`` is made from them. A capability is "yes" only when all its tests
passed.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kombu.testing.conformance.record import CAPABILITY_OF
from kombu.testing.conformance.selection import Selected
from kombu.testing.conformance.suite import CAPABILITIES
from kombu.transport.features import Features
from t.tools.tables import Notes, list_table

DOCS = Path(__file__).resolve().parents[2] / "docs"


class Row(NamedTuple):
    """One line of the table.

    Arguments:
        page: of the documentation, whose order the table has.
        shown: the transport's name in the table.
        suite: the test class in ``t/conformance`` that it is made from.
        scheme: what the registry of transports calls it.
    """

    page: str
    shown: str
    suite: str
    scheme: str


ROWS = (
    Row("memory", "memory", "TestMemory", "memory"),
    Row("filesystem", "filesystem", "TestFilesystem", "filesystem"),
    Row("redis", "redis", "TestRedis", "redis"),
    Row("redis", "redis+streams", "TestRedisStreams", "redis"),
    Row("redis", "redis+cluster", "TestRedisCluster", "redis"),
    Row("amqp", "amqp", "TestRabbitMQ", "amqp"),
    Row("sqs", "sqs", "TestSQS", "sqs"),
    Row("confluentkafka", "confluentkafka", "TestKafka", "confluentkafka"),
    Row("gcpubsub", "gcpubsub", "TestPubSub", "gcpubsub"),
    Row("mongodb", "mongodb", "TestMongoDB", "mongodb"),
    Row("zookeeper", "zookeeper", "TestZooKeeper", "zookeeper"),
    Row("etcd", "etcd", "TestEtcd", "etcd"),
    Row("consul", "consul", "TestConsul", "consul"),
    Row("sqlalchemy", "sqlalchemy (SQLite)", "TestSQLite", "sqlalchemy"),
    Row("sqlalchemy", "sqlalchemy (MariaDB)", "TestMariaDBStrict", "sqlalchemy"),
    Row("postgresql", "postgresql", "TestPostgreSQL", "postgresql"),
    Row("pgmq", "pgmq", "TestPgmq", "pgmq"),
    Row("nats", "nats", "TestNats", "nats"),
    Row("pyro", "pyro", "TestPyro", "pyro"),
    Row("azurestoragequeues", "azurestoragequeues", "TestAzureStorageQueues", "azurestoragequeues"),
    Row("azureservicebus", "azureservicebus", "TestAzureServiceBus", "azureservicebus"),
    Row("slmq", "slmq", "TestSLMQ", "slmq"),
    Row("qpid", "qpid", "TestQpid", "qpid"),
)

#: Column -> the suite's capability.
COLUMNS = {
    "Direct": "direct",
    "Topic": "topic",
    "Fanout": "fanout",
    "Priority": "priority",
    "TTL": "message ttl",
    "Headers": "headers",
    "Queue expiry": "queue expiry",
    "Max length": "max length",
    "Dead letters": "dead letters",
    "Delay": "delay",
    "Returns": "mandatory",
    "Confirms": "confirms",
    "Batches": "batches",
    "Survives SIGKILL": "crashes",
    "Exclusive": "exclusive",
}

_NOT_SHARED = "It lives in one process, and ends with it."
_NO_OWNER = (
    "A client that can't see which connections of other processes live can't refuse them: the flag "
    "is taken and has no effect."
)
_NO_USERS = (
    "Who uses a queue in other processes is not known, and a queue in use must stay: ``x-expires`` "
    "is taken and has no effect."
)

#: Why a transport has not what it has not: (row, column), or (``""``, column) for all others.
WHY_NOT = {
    ("", "Exclusive"): _NO_OWNER,
    ("", "Queue expiry"): _NO_USERS,
    ("memory", "Survives SIGKILL"): _NOT_SHARED,
    ("amqp", "Delay"): (
        "RabbitMQ knows ``x-delay`` by a plugin only; "
        "``kombu.transport.native_delayed_delivery`` delays without one."
    ),
    ("qpid", "Delay"): "The Qpid broker holds no messages back.",
    ("pgmq", "Priority"): "PGMQ has no priorities.",
    ("pgmq", "Max length"): "PGMQ has no maximum length.",
    ("etcd", "Batches"): "Version 2 of etcd's API takes one message a request.",
    ("gcpubsub", "Max length"): "Pub/Sub does not say how many messages wait.",
    ("slmq", "Priority"): "The service has no priorities and keeps no order.",
    ("slmq", "Max length"): "The service counts a queue's messages, and not atomically.",
    ("slmq", "Batches"): "The service takes one message a request.",
    ("slmq", "Survives SIGKILL"): (
        "Messages of a killed consumer come back, but those of a living one, too: the service has "
        "no way to ask for more time."
    ),
    ("azurestoragequeues", "Batches"): "The service takes one message a request.",
}

Cells = dict[str, Any]


def measured(suite: dict[str, Any]) -> Cells:
    """What the table keeps of one suite's results."""
    cells: Cells = {"cells": {}, "notes": {}}
    for column, capability in COLUMNS.items():
        counts = suite["capabilities"].get(capability)
        if counts is not None:
            cells["cells"][column] = "in part" if counts["failed"] else "yes"
    column_of = {capability: column for column, capability in COLUMNS.items()}
    for test, reason in sorted(suite.get("deviations", {}).items()):
        column = column_of.get(CAPABILITY_OF.get(test, ""), "")
        notes = cells["notes"].setdefault(column, [])
        if reason not in notes:
            notes.append(reason)
    return cells


def pages() -> list[str]:
    """The pages of transports, in the documentation's order."""
    text = (DOCS / "transports" / "index.rst").read_text()
    tree = text.split(".. toctree::")[1].split("\n\n")[1]
    return re.findall(r"^\s+(\S+)$", tree, re.MULTILINE)


def in_order(known: Iterable[str]) -> Iterator[Row]:
    """The lines to be shown: those known, by their page; those without a page last."""
    known, order = set(known), pages()
    yield from sorted(
        (row for row in ROWS if row.suite in known),
        key=lambda row: order.index(row.page) if row.page in order else len(order),
    )


def why_not(row: Row, column: str) -> list[str]:
    for name in (row.shown, row.scheme, ""):
        if reason := WHY_NOT.get((name, column)):
            return [reason]
    return []


def declares(features: Features, column: str) -> bool:
    """Whether a transport with these features has to have what the column is about."""
    suite: type[Selected] = type("Declared", (Selected,), {"features": features})
    needed: frozenset[str] = vars(CAPABILITIES[COLUMNS[column]])["conformance_requires"]
    return needed <= suite.capabilities()


def sentence(reason: str) -> str:
    return reason[0].upper() + reason[1:] + ("" if reason.endswith(".") else ".")


def line(row: Row, known: Cells, notes: Notes) -> list[str]:
    def noted(text: str, column: str) -> str:
        reasons = map(sentence, known["notes"].get(column, []))
        return notes.marked(text, reasons)

    cells = [noted(row.shown, "")]
    for column in COLUMNS:
        if has := known["cells"].get(column):
            cells.append(noted(has, column))
        else:
            cells.append(notes.marked("no", why_not(row, column)))
    return cells


def table(known: dict[str, Cells]) -> str:
    """The table with one line for each suite that is known."""
    notes = Notes()
    rows = [line(row, known[row.suite], notes) for row in in_order(known)]
    return list_table(
        "t/tools/transport_table.py (make transports-table) from runs of the conformance suite",
        ["Transport", *COLUMNS],
        rows,
        notes,
    )


def main(*results: str, docs: Path = DOCS) -> None:
    kept = docs / "transports-table.json"
    known: dict[str, Cells] = json.loads(kept.read_text()) if kept.exists() else {}
    suites = {row.suite for row in ROWS}
    for path in results:
        run = json.loads(Path(path).read_text())
        known.update({name: measured(suite) for name, suite in run.items() if name in suites})
    lines = [f" {json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known)]
    kept.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    (docs / "transports-table.rst").write_text(table(known))


if __name__ == "__main__":
    main(*sys.argv[1:])
