"""Logging."""

from __future__ import annotations

import io
import logging
import subprocess
import sys

import pytest

from kombu import log
from kombu.log import Log, LogMixin, get_logger, get_loglevel, naive_format_parts, safeify_format
from kombu.utils.debug import Logwrapped
from kombu.utils.debug import setup_logging as debug_logging
from kombu.utils.functional import lazy


class Worker(LogMixin):
    pass


@pytest.fixture
def logged(caplog):
    caplog.set_level(logging.DEBUG)
    return caplog


def test_levels():
    assert get_loglevel("WARN") == get_loglevel("WARNING") == get_loglevel(30) == logging.WARNING
    assert get_loglevel(None) is None
    with pytest.raises(KeyError):
        get_loglevel("debug")


def test_loggers_are_silent_until_configured():
    logger = get_logger("kombu.test.silent")
    assert get_logger(logger) is logger
    assert [type(handler) for handler in logger.handlers] == [logging.NullHandler]


@pytest.mark.parametrize(
    ("fmt", "conversions"),
    [
        ("a %s b %r %% %d c", "srd"),
        ("plain", ""),
        ("%(a)s %-5.2f %", "sf"),
        ("100%% %s", "s"),
    ],
)
def test_format_parts(fmt, conversions):
    assert "".join(naive_format_parts(fmt)) == conversions


def test_safeify():
    class Broken:
        def __repr__(self):
            raise ValueError("no")

    assert list(safeify_format("%s %r %d", (b"\xff", "x", 5))) == ["\ufffd", "'x'", 5]
    assert list(safeify_format("%s", (lazy(int, "5"),))) == ["5"]
    assert list(safeify_format("%d%% %s", (1,))) == [1]
    assert "Unrepresentable" in next(safeify_format("%r", (Broken(),)))
    assert list(safeify_format("%s", ("x",), filters={"s": str.upper})) == ["X"]


def test_mixin(logged):
    worker = Worker()
    worker.debug("a %s and %r, 100%%", b"b", "c")
    worker.info("one text: 100%")
    worker.warn("w")
    try:
        raise KeyError("k")
    except KeyError:
        worker.error("failed")
        worker.critical("failed", exc_info=False)
    seen = [(record.name, record.levelno, record.getMessage()) for record in logged.records]
    assert seen == [
        ("Worker", logging.DEBUG, "Worker - a b and 'c', 100%"),
        ("Worker", logging.INFO, "Worker - one text: 100%"),
        ("Worker", logging.WARNING, "Worker - w"),
        ("Worker", logging.ERROR, "Worker - failed"),
        ("Worker", logging.CRITICAL, "Worker - failed"),
    ]
    assert [bool(record.exc_info) for record in logged.records] == [
        False,
        False,
        False,
        True,
        False,
    ]


def test_tracebacks_may_be_disabled(logged, monkeypatch):
    monkeypatch.setattr(log, "DISABLE_TRACEBACKS", "1")
    try:
        raise KeyError("k")
    except KeyError:
        Worker().error("failed")
    assert not logged.records[0].exc_info


def test_enabled_for(caplog):
    caplog.set_level(logging.WARNING)
    assert Worker().is_enabled_for("ERROR")
    assert not Worker().is_enabled_for(logging.INFO)
    Worker().info("not evaluated: %s", lazy(lambda: 1 / 0))


def test_log_by_name(logged):
    Log("name").info("a")
    Log("name", logger=logging.getLogger("other")).info("b")
    assert [(r.name, r.getMessage()) for r in logged.records] == [
        ("name", "name - a"),
        ("other", "name - b"),
    ]


def run(code):
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return result.stdout, result.stderr


def test_setup_logging(tmp_path):
    out, err = run(
        "import logging; from kombu.log import setup_logging\n"
        "print(setup_logging('INFO').level, setup_logging('DEBUG').level)\n"
        "logging.info('seen'); logging.debug('unseen')"
    )
    assert (out, err) == ("20 20\n", "seen\n")
    path = tmp_path / "log"
    out, err = run(
        "import logging; from kombu.log import setup_logging\n"
        f"print(setup_logging(logfile={str(path)!r}).level); logging.error('seen')"
    )
    assert (out, err, path.read_text()) == ("40\n", "", "seen\n")


def test_debug_logging():
    logger = logging.getLogger("kombu.test.debug")
    debug_logging(loglevel=logging.INFO, loggers=[logger.name])
    assert logger.level == logging.INFO
    assert logging.StreamHandler in map(type, logger.handlers)


def test_logwrapped(caplog):
    caplog.set_level(logging.DEBUG, logger="kombu.test.wrapped")
    logger = logging.getLogger("kombu.test.wrapped")
    with Logwrapped(io.StringIO("text"), logger, "[{0.closed}] ") as wrapped:
        assert wrapped.read(2) == "te"
        assert wrapped.closed is False
        assert "readline" in dir(wrapped)
        with pytest.raises(AttributeError):
            _ = wrapped.nothing
    assert wrapped.closed is True
    assert [record.getMessage() for record in caplog.records] == ["[False] read(2)"]
