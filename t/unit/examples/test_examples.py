"""Every example runs, and does what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"

#: Example -> its arguments, and what its output must hold.
RUNS = {
    "hello.py": ([], "{'hello': 'world'}"),
    "worker.py": ([], "task: fire"),
    "demo.py": (["--messages", "300"], "nothing was lost"),
}

#: Tested by the conformance suite, in t/unit/docs.
ELSEWHERE = {"sqlite_transport.py"}


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == RUNS.keys() | ELSEWHERE


@pytest.mark.parametrize("name", RUNS)
def test_example(name: str, tmp_path: Path) -> None:
    arguments, expected = RUNS[name]
    run = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert expected in run.stdout
