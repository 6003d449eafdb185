"""What the interoperability tests show, as a table: transport, direction, and what went across.

A test says what it shows with ``@pytest.mark.interop("fanout", "published->ours")``; without a
direction it shows both. Which transport it was is known from its server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

WHAT = ("queue", "fanout", "priority", "requeue", "pidbox")
DIRECTIONS = ("published->ours", "ours->published")

#: Server -> transport, where their names differ.
TRANSPORT_OF = {
    "rabbitmq": "amqp",
    "postgres": "postgresql",
    "azurite": "azurestoragequeues",
    "servicebus": "azureservicebus",
    "kafka": "confluentkafka",
    "pubsub": "gcpubsub",
    "pyro5": "pyro",
}

#: Module of tests -> transport, where its server is another transport's, too.
OF_MODULE = {"test_pgmq": "pgmq"}

#: Package or module of tests that name no server -> transport.
WITHOUT_SERVER = {"test_filesystem": "filesystem", "redis": "redis", "sqlalchemy": "sqlite"}

_FACTS = "interop"

#: (transport, what, direction) -> whether every test of it passed
Facts = dict[tuple[str, str, str], bool]


def facts_of(item: pytest.Item) -> Iterator[str]:
    """What a test shows, as ``transport what direction``.

    Raises:
        pytest.UsageError: the mark names something else.
    """
    for mark in item.iter_markers("interop"):
        what, *directions = mark.args
        if what not in WHAT or not {*directions} <= {*DIRECTIONS}:
            raise pytest.UsageError(f"{item.nodeid}: no such fact: {', '.join(mark.args)}")
        for direction in directions or DIRECTIONS:
            yield f"{transport_of(item)} {what} {direction}"


def transport_of(item: pytest.Item) -> str:
    if item.path.stem in OF_MODULE:
        return OF_MODULE[item.path.stem]
    servers = [str(mark.args[0]) for mark in item.iter_markers("server")]
    if servers:
        return TRANSPORT_OF.get(servers[0], servers[0])
    names = {item.path.stem, item.path.parent.name}
    return next(shown for name, shown in WITHOUT_SERVER.items() if name in names)


class Recorder:
    """A pytest plugin that gathers what tests show.

    Arguments:
        path: of the JSON file; transports that it names already and that did not run are kept.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.facts: Facts = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            item.user_properties.extend((_FACTS, fact) for fact in facts_of(item))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A test that will be tried again counts as it ends.
        if report.outcome == "failed" or (report.when == "call" and report.passed):
            for name, fact in report.user_properties:
                if name == _FACTS:
                    transport, what, direction = str(fact).split()
                    before = self.facts.get((transport, what, direction), True)
                    self.facts[transport, what, direction] = before and report.passed

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workerinput"):
            return  # the process that started this worker has its reports
        known: dict[str, dict[str, bool]] = {}
        if self.path.exists():
            known = json.loads(self.path.read_text())
        for transport in {transport for transport, _, _ in self.facts}:
            known[transport] = {}
        for (transport, what, direction), passed in sorted(self.facts.items()):
            known[transport][f"{what} {direction}"] = passed
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f" {json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known)]
        self.path.write_text("{\n" + ",\n".join(lines) + "\n}\n")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.facts:
            terminalreporter.section("what goes across")
            for line in as_text(self.facts):
                terminalreporter.line(line)


def as_text(facts: Facts) -> Iterator[str]:
    """The table for a terminal."""
    columns = [(what, direction) for direction in DIRECTIONS for what in WHAT]
    yield " " * 20 + "".join(f"{direction:<45}" for direction in DIRECTIONS)
    yield f"{'transport':<20}" + "".join(f"{what:<9}" for what, _ in columns)
    for transport in sorted({transport for transport, _, _ in facts}):
        words = {True: "yes", False: "FAILED", None: "-"}
        cells = [words[facts.get((transport, *column))] for column in columns]
        yield f"{transport:<20}" + "".join(f"{cell:<9}" for cell in cells)
