"""Which capabilities passed on which transport: written as JSON, read by the documentation.

A pytest plugin: ``python -m kombu.testing.conformance --json FILE URL...`` registers it, and so
does the option ``--conformance-json`` of this project's tests. It works with pytest-xdist: what
workers ran is counted by the process that started them.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from kombu.testing.conformance.suite import CAPABILITIES, TransportConformance

#: Name of a test -> the capability that it belongs to.
CAPABILITY_OF = {
    name: capability
    for capability, tests in CAPABILITIES.items()
    for name in vars(tests)
    if name.startswith("test_")
}

#: Names of what travels with a test's report, and with a worker's end.
_TEST, _SUITES = "conformance", "conformance_suites"


class Recorder:
    """Collects the outcome of every conformance test.

    Arguments:
        path: of the JSON file. Suites that it names already and that did not run this time
            are kept.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.suites: dict[str, dict[str, Any]] = {}
        self.counts: dict[str, dict[str, dict[str, int]]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            suite = _suite_of(item)
            capability = CAPABILITY_OF.get(getattr(item, "originalname", ""))
            if suite is not None and capability is not None:
                self.suites.setdefault(suite.__name__, _described(suite))
                item.user_properties.append((_TEST, f"{suite.__name__}:{capability}"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = dict(report.user_properties).get(_TEST)
        if test is None or report.outcome not in ("passed", "failed"):
            return  # a test that will be tried again counts once, as it ends
        if report.when == "call" or report.failed:
            suite, _, capability = str(test).partition(":")
            counts = self.counts.setdefault(suite, {}).setdefault(
                capability, {"passed": 0, "failed": 0}
            )
            counts[report.outcome] += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.suites.update(getattr(node, "workeroutput", {}).get(_SUITES, {}))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_SUITES] = self.suites
            return
        known: dict[str, Any] = {}
        if self.path.exists():
            known = json.loads(self.path.read_text())
        for name, suite in self.suites.items():
            if name in self.counts:
                known[name] = {**suite, "capabilities": self.counts[name]}
        self.path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def _suite_of(item: pytest.Item) -> type[TransportConformance] | None:
    cls = getattr(item, "cls", None)
    return cls if isinstance(cls, type) and issubclass(cls, TransportConformance) else None


def _described(suite: type[TransportConformance]) -> dict[str, Any]:
    assert suite.features is not None
    features = {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name, value in dataclasses.asdict(suite.features).items()
    }
    return {
        "features": features,
        "not_applicable": {name: list(why) for name, why in sorted(suite.not_applicable.items())},
        "deviations": dict(suite.deviations),
    }
