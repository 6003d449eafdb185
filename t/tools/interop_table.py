"""The documentation's table of what goes across between kombu 5.7 and this one.

``python -m t.tools.interop_table``: makes ``docs/interop-table.rst`` from
``docs/interop-table.json``, which ``make interop`` writes (``pytest --interop-json``).
"""

from __future__ import annotations

import json
from pathlib import Path

from t.interop.record import DIRECTIONS, WHAT
from t.tools.tables import Notes, list_table
from t.tools.transport_table import DOCS

ORDER = (
    "filesystem",
    "redis",
    "amqp",
    "sqs",
    "confluentkafka",
    "gcpubsub",
    "mongodb",
    "zookeeper",
    "etcd",
    "consul",
    "sqlite",
    "postgresql",
    "mariadb",
    "pgmq",
    "pyro",
    "azurestoragequeues",
    "azureservicebus",
    "qpid",
    "slmq",
)

_NO_FANOUT = "5.7 has no fanout there, and remote control (pidbox) needs it."
_NO_PRIORITY = "5.7 has no priorities there."

#: Why there is nothing to show: what 5.7 does not have.
NOT_IN_PUBLISHED = {
    (
        "filesystem",
        "priority",
    ): "5.7 reads files in the order of their names, whatever the priority; "
    "it keeps the priority that ours wrote.",
    ("sqs", "priority"): _NO_PRIORITY,
    ("sqs", "pidbox"): "Remote control of 5.7 needs an event loop on SQS.",
    ("confluentkafka", "priority"): _NO_PRIORITY,
    ("gcpubsub", "priority"): _NO_PRIORITY,
    ("azurestoragequeues", "priority"): _NO_PRIORITY,
    ("azureservicebus", "priority"): _NO_PRIORITY,
    ("sqlite", "priority"): _NO_PRIORITY,
    ("postgresql", "priority"): _NO_PRIORITY,
    ("mariadb", "priority"): _NO_PRIORITY,
    ("pgmq", "priority"): _NO_PRIORITY,
    ("pgmq", "pidbox"): "The reply queues of 5.7 have longer names than PGMQ takes.",
    ("etcd", "priority"): "5.7 takes the messages of a queue in no particular order there.",
    ("consul", "priority"): "5.7 takes the messages of a queue in no particular order there.",
    **{
        (transport, what): _NO_FANOUT
        for transport in (
            "confluentkafka",
            "zookeeper",
            "etcd",
            "consul",
            "sqlite",
            "postgresql",
            "mariadb",
            "azurestoragequeues",
            "azureservicebus",
        )
        for what in ("fanout", "pidbox")
    },
}


def table(known: dict[str, dict[str, bool]]) -> str:
    notes = Notes()

    def cell(transport: str, what: str, direction: str) -> str:
        passed = known[transport].get(f"{what} {direction}")
        if passed is not None:
            return "yes" if passed else "no"
        why = NOT_IN_PUBLISHED.get((transport, what))
        return notes.marked("\\-", [why]) if why else "not tested"

    arrows = {"published->ours": "5.7 to 5.8", "ours->published": "5.8 to 5.7"}
    columns = [(what, direction) for direction in DIRECTIONS for what in WHAT]
    rows = [
        [transport, *(cell(transport, *column) for column in columns)]
        for transport in ORDER
        if transport in known
    ]
    return list_table(
        "t/tools/interop_table.py from docs/interop-table.json (make interop)",
        ["Transport", *(f"{what}, {arrows[direction]}" for what, direction in columns)],
        rows,
        notes,
    )


def main(docs: Path = DOCS) -> None:
    known = json.loads((docs / "interop-table.json").read_text())
    (docs / "interop-table.rst").write_text(table(known))


if __name__ == "__main__":
    main()
