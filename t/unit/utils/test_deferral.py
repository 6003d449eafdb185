"""A package that is run when more of it is asked for."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kombu.utils.deferral import defer

NAME = "deferral_example"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "__init__.py").write_text("from .part import piece\nruns = [1]\nwhole = piece * 2\n")
    (folder / "part.py").write_text("piece = 21\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield NAME
    for name in [each for each in sys.modules if each.split(".")[0] == NAME]:
        del sys.modules[name]


def test_a_module_comes_without_its_package(package: str) -> None:
    defer(package)
    part = importlib.import_module(f"{package}.part")
    assert part.piece == 21
    assert "whole" not in vars(sys.modules[package])


def test_the_package_runs_when_it_is_asked(package: str) -> None:
    defer(package)
    import deferral_example

    assert deferral_example.whole == 42
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = deferral_example.other


def test_it_runs_once_for_many_threads(package: str) -> None:
    defer(package)
    module = sys.modules[package]
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(module.whole)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == [42] * 16
    assert module.runs == [1]


def test_what_is_not_there_is_left_to_the_import() -> None:
    defer("no_such_package_of_ours")
    with pytest.raises(ModuleNotFoundError):
        __import__("no_such_package_of_ours")


def test_a_connection_in_memory_does_not_run_amqp() -> None:
    code = """
        import sys
        from kombu import Connection
        Connection("memory://").connect()
        assert "amqp.connection" not in sys.modules
        import amqp
        assert amqp.NotFound is sys.modules["amqp.exceptions"].NotFound
        assert amqp.Connection.__module__ == "amqp.connection"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)
