"""Which capabilities passed on which transport: written as JSON, read by the documentation.

A pytest plugin: ``pytest -p`` is not needed, ``python -m kombu.testing.conformance --json FILE
URL...`` registers it, and so does the option ``--conformance-json`` of this project's tests.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from kombu.testing.conformance.suite import CAPABILITIES, TransportConformance

#: Name of a test -> the capability that it belongs to.
_CAPABILITY_OF = {
    name: capability
    for capability, tests in CAPABILITIES.items()
    for name in vars(tests)
    if name.startswith("test_")
}


class Recorder:
    """Collects the outcome of every conformance test.

    Arguments:
        path: of the JSON file. Suites that it names already and that did not run this time
            are kept.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.suites: dict[str, dict[str, Any]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            suite = _suite_of(item)
            if suite is not None:
                self.suites.setdefault(suite.__name__, _described(suite))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        outcome = yield
        report: pytest.TestReport = outcome.get_result()
        suite = _suite_of(item)
        capability = _CAPABILITY_OF.get(getattr(item, "originalname", ""))
        if suite is None or capability is None:
            return
        if report.when == "call" or not report.passed:
            counts = self.suites[suite.__name__]["capabilities"].setdefault(
                capability, {"passed": 0, "failed": 0}
            )
            counts["passed" if report.passed else "failed"] += 1

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        known: dict[str, Any] = {}
        if self.path.exists():
            known = json.loads(self.path.read_text())
        known.update({name: suite for name, suite in self.suites.items() if suite["capabilities"]})
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
        "capabilities": {},
    }
