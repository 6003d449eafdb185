"""The table of what goes across is made of what tests showed, and names what failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from t.interop import record
from t.tools import interop_table

pytest_plugins = ["pytester"]

TESTS = """
import pytest

@pytest.mark.server("rabbitmq")
@pytest.mark.interop("queue")
def test_both_ways():
    pass

@pytest.mark.server("rabbitmq")
@pytest.mark.interop("queue", "ours->published")
@pytest.mark.interop("fanout", "ours->published")
def test_one_way():
    assert False

@pytest.mark.server("redis")
def test_that_shows_nothing():
    pass
"""

PLUGIN = (
    "from t.interop.record import Recorder\n"
    "def pytest_configure(config):\n"
    "    config.pluginmanager.register(Recorder('facts.json'), 'recorder')\n"
)


def test_facts_are_recorded(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(record.__file__).parents[2]))
    pytester.makeconftest(PLUGIN)
    pytester.makepyfile(test_one=TESTS)
    pytester.path.joinpath("facts.json").write_text('{"amqp": {"pidbox x": true}, "sqs": {}}')
    run = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    run.stdout.fnmatch_lines(["amqp * yes * - * FAILED * FAILED *"])
    assert json.loads((pytester.path / "facts.json").read_text()) == {
        "amqp": {
            "fanout ours->published": False,
            "queue ours->published": False,
            "queue published->ours": True,
        },
        "sqs": {},
    }
    pytester.makepyfile(test_two="import pytest\n@pytest.mark.interop('quue')\ndef test_x(): pass")
    run = pytester.runpytest_subprocess("test_two.py", "-p", "no:cacheprovider")
    assert "no such fact: quue" in run.stdout.str() + run.stderr.str()


def test_the_page_is_made_of_what_is_kept(tmp_path: Path) -> None:
    for name in ("interop-table.json", "interop-table.rst"):
        (tmp_path / name).write_text((interop_table.DOCS / name).read_text())
    interop_table.main(tmp_path)
    text = (tmp_path / "interop-table.rst").read_text()
    assert text == (interop_table.DOCS / "interop-table.rst").read_text()
    cells = {line.strip("- ") for line in text.splitlines() if line.startswith("     - ")}
    assert "no" not in cells
