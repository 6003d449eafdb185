"""The documentation's table of transports says what the drivers declare, and lacks none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kombu.transport import TRANSPORT_ALIASES, NoSuchTransport, resolve_transport
from t.tools import transport_table
from t.tools.transport_table import COLUMNS, DOCS, ROWS, Row, declares, pages, why_not

pytest_plugins = ["pytester"]

HOW = "run its module with --conformance-json R.json, then python -m t.tools.transport_table R.json"


def transport_of(scheme: str) -> Any:
    """The transport's class; ``None`` while this version does not have it."""
    try:
        return resolve_transport(scheme)
    except NoSuchTransport:
        return None


def shown() -> dict[str, list[str]]:
    """Transport -> its cells, as the page has them, without the marks of footnotes."""
    text = (DOCS / "transports-table.rst").read_text().partition("\n\n.. [")[0]
    rows = [row.split("\n     - ") for row in text.split("\n   * - ")[1:]]
    cells = [[cell.split(" [")[0].strip() for cell in row] for row in rows]
    return {row[0]: row[1:] for row in cells}


@pytest.fixture(scope="module")
def table() -> dict[str, list[str]]:
    found = shown()
    assert found.pop("Transport") == [*COLUMNS]
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.shown)
def test_cells_are_what_the_driver_declares(table: dict[str, list[str]], row: Row) -> None:
    transport = transport_of(row.scheme)
    if transport is None:
        assert row.shown not in table
        return
    assert row.shown in table, HOW
    cells = dict(zip(COLUMNS, table[row.shown], strict=True))
    assert {column: cell in ("yes", "in part") for column, cell in cells.items()} == {
        column: declares(transport.features, column) for column in COLUMNS
    }, HOW
    assert "in part" not in cells.values(), "a declared feature has a test that failed"
    unexplained = [c for c, cell in cells.items() if cell == "no" and not why_not(row, c)]
    assert not unexplained, "WHY_NOT says nothing about it"


def test_no_transport_is_missing() -> None:
    listed = {transport_of(row.scheme) for row in ROWS}
    modules = {each.__module__ for each in listed if each}
    here = {name: transport_of(name) for name in TRANSPORT_ALIASES}
    assert not [
        name
        for name, transport in here.items()
        # librabbitmq is py-amqp's transport under another name
        if transport and transport.__module__ not in modules and name != "librabbitmq"
    ]


def test_each_page_has_a_row_and_the_order_is_theirs(table: dict[str, list[str]]) -> None:
    page_of = {row.shown: row.page for row in ROWS}
    order = [page_of[name] for name in table]
    known = [page for page in pages() if page in order]
    assert list(dict.fromkeys(order))[: len(known)] == known
    assert set(pages()) <= set(page_of.values())


def test_it_is_made_of_what_is_kept(tmp_path: Path) -> None:
    kept = (DOCS / "transports-table.json").read_text()
    (tmp_path / "transports-table.json").write_text(kept)
    transport_table.main(docs=tmp_path)
    for name in ("transports-table.json", "transports-table.rst"):
        assert (tmp_path / name).read_text() == (DOCS / name).read_text()


def test_several_runs_are_merged_and_name_what_failed(tmp_path: Path) -> None:
    counts = {"passed": 3, "failed": 0}
    runs = {
        "TestMemory": {"topic": counts, "priority": {"passed": 1, "failed": 1}},
        "TestRedis": {"topic": counts, "direct": counts},
        "TestUnheardOf": {"topic": counts},
    }
    for name, capabilities in runs.items():
        result = {"capabilities": capabilities, "deviations": {}}
        if name == "TestRedis":
            result["deviations"] = {
                "test_fanout_ignores_keys": "keys are patterns",
                "test_large_body": "it is too large",
            }
        (tmp_path / f"{name}.json").write_text(json.dumps({name: result}))
    transport_table.main(*(str(tmp_path / f"{name}.json") for name in runs), docs=tmp_path)
    text = (tmp_path / "transports-table.rst").read_text()
    assert "* - memory\n     - no\n     - yes\n     - no\n     - in part\n" in text
    assert "* - redis [4]_\n     - yes\n     - yes\n     - no\n" in text
    assert ".. [4] It is too large." in text
    assert "Unheard" not in text


SUITE = """
import pytest
from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.memory import Transport

class TestOne(TransportConformance):
    features = Transport.features
    fails = "test_topic_words_are_whole"

    @pytest.fixture
    def harness(self, request):
        assert request.node.originalname != self.fails
        with Harness("memory://") as harness:
            yield harness

class TestTwo(TestOne):
    features = Transport.features
    fails = None
"""


def test_what_workers_ran_is_recorded(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_suite=SUITE)
    pytester.makeconftest(
        "from kombu.testing.conformance.record import Recorder\n"
        "def pytest_configure(config):\n"
        "    config.pluginmanager.register(Recorder('results.json'), 'recorder')\n"
    )
    pytester.runpytest_subprocess("-k", "topic", "-p", "no:cacheprovider", "-n", "2")
    results = json.loads((pytester.path / "results.json").read_text())
    assert sorted(results) == ["TestOne", "TestTwo"]
    topic = {name: suite["capabilities"]["topic"] for name, suite in results.items()}
    assert topic["TestOne"] == {"passed": topic["TestTwo"]["passed"] - 1, "failed": 1}
    assert topic["TestTwo"]["failed"] == 0
    assert results["TestTwo"]["features"]["priority"] is True
