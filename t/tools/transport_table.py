"""The documentation's table of transports, from what the conformance suite saw.

``python -m t.tools.transport_table RESULTS.json [docs/transports-table.rst]``, where the
results come from ``pytest t/conformance --conformance-json RESULTS.json``. A capability is
"yes" only when all its tests passed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

#: Suite -> its name in the table, in the table's order.
SUITES = {
    "TestMemory": "memory",
    "TestFilesystem": "filesystem",
    "TestRabbitMQ": "amqp",
    "TestRedis": "redis",
    "TestSQS": "SQS",
    "TestMongoDB": "mongodb",
    "TestZooKeeper": "zookeeper",
    "TestSQLAlchemy": "sqlalchemy",
    "TestConsul": "consul",
    "TestEtcd": "etcd",
    "TestKafka": "confluentkafka",
    "TestAzureStorageQueues": "azurestoragequeues",
    "TestAzureServiceBus": "azureservicebus",
    "TestPubSub": "gcpubsub",
    "TestPGMQ": "pgmq",
    "TestPyro": "pyro",
    "TestSLMQ": "SLMQ",
    "TestQpid": "qpid",
}

#: Column -> the suite's capability.
COLUMNS = {
    "Direct": "direct",
    "Topic": "topic",
    "Fanout": "fanout",
    "Headers": "headers",
    "Priority": "priority",
    "TTL": "message ttl",
    "Max length": "max length",
    "Dead letters": "dead letters",
    "Delay": "delay",
    "Returns": "mandatory",
    "Confirms": "confirms",
    "Survives SIGKILL": "crashes",
    "Exclusive": "exclusive",
}


def cell(suite: dict[str, Any], capability: str) -> str:
    counts = suite["capabilities"].get(capability)
    if counts is None:
        return "no"
    return "in part" if counts["failed"] else "yes"


def table(results: dict[str, Any]) -> str:
    """A ``list-table`` with one row for each suite that was run."""
    lines = [
        ".. Made by t/tools/transport_table.py from a run of the conformance suite.",
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - Transport",
        *(f"     - {column}" for column in COLUMNS),
    ]
    for name, shown in SUITES.items():
        if name in results:
            lines.append(f"   * - {shown}")
            lines.extend(f"     - {cell(results[name], c)}" for c in COLUMNS.values())
    return "\n".join(lines) + "\n"


def main(results: str, target: str = "docs/transports-table.rst") -> None:
    Path(target).write_text(table(json.loads(Path(results).read_text())))


if __name__ == "__main__":
    main(*sys.argv[1:])
