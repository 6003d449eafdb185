"""What all tests share: real servers, and an honest list of what was not run.

A test says ``@pytest.mark.server("redis")`` and takes the fixture ``servers``. A server that is
missing makes its tests fail; only ``--servers`` (or KOMBU_TEST_SERVERS) leaves some out on
purpose, and the end of the run names them.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from t.services.pool import Servers, named

_left_out = pytest.StashKey[Counter[str]]()
_servers = pytest.StashKey[Servers]()
_suites = pytest.StashKey[set[Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kombu")
    group.addoption(
        "--servers",
        default=None,
        help="servers that tests may use, by commas; all (default) or none; "
        "KOMBU_TEST_SERVERS says the same",
    )
    group.addoption(
        "--conformance-json",
        default=None,
        metavar="FILE",
        help="write which capabilities passed on which transport",
    )
    group.addoption(
        "--interop-json",
        default=None,
        metavar="FILE",
        help="write what goes across between the published package and this one, and show it",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "server(name): needs this server of t/services")
    config.addinivalue_line(
        "markers",
        "interop(what, *directions): shows that this goes across; see t/interop/record.py",
    )
    text = config.getoption("--servers") or os.environ.get("KOMBU_TEST_SERVERS")
    try:
        config.stash[_servers] = Servers(named(text))
    except ValueError as exc:
        raise pytest.UsageError(str(exc)) from exc
    config.stash[_left_out] = Counter()
    config.stash[_suites] = set()
    if path := config.getoption("--conformance-json"):
        from kombu.testing.conformance.record import Recorder

        config.pluginmanager.register(Recorder(path), "conformance-recorder")
    if path := config.getoption("--interop-json"):
        from t.interop import record

        config.pluginmanager.register(record.Recorder(path), "interop-recorder")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    servers = config.stash[_servers]
    kept, dropped = [], []
    for item in items:
        needed = [mark.args[0] for mark in item.iter_markers("server")]
        excluded = [name for name in needed if servers.excluded(name)]
        if excluded:
            config.stash[_left_out][excluded[0]] += 1
        (dropped if excluded else kept).append(item)
        suite = getattr(item, "cls", None)
        if not excluded and getattr(suite, "not_applicable", None):
            config.stash[_suites].add(suite)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


@pytest.fixture(autouse=True)
def heard_loggers() -> None:
    """Undo what applications under test did to logging: a Celery worker sets it up for all."""
    logging.disable(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)
    for name, logger in logging.root.manager.loggerDict.items():
        if name.split(".")[0] == "kombu" and isinstance(logger, logging.Logger):
            logger.disabled = False
            logger.propagate = True
            logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Starts servers on demand: ``servers.env("redis")["REDIS_URL"]``."""
    servers = request.config.stash[_servers]
    yield servers
    servers.stop()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if left_out := config.stash[_left_out]:
        terminalreporter.section("not run, because --servers leaves their server out")
        for name, count in sorted(left_out.items()):
            terminalreporter.line(f"{name}: {count} tests")
    if suites := config.stash[_suites]:
        terminalreporter.section("conformance tests that do not apply")
        for suite in sorted(suites, key=lambda suite: suite.__name__):
            reasons = Counter(", ".join(why) for why in suite.not_applicable.values())
            for reason, count in sorted(reasons.items()):
                terminalreporter.line(f"{suite.__name__}: {count} ({reason})")
