"""A broker that is a folder, and commands as processes or as calls."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kombu.cli import main


class Folder:
    """A filesystem broker, for the command line and for the test."""

    def __init__(self, path: Path) -> None:
        self.data = path / "data"
        self.data.mkdir()
        self.options = {
            "data_folder_in": str(self.data),
            "data_folder_out": str(self.data),
            "control_folder": str(path / "control"),
        }
        self.arguments = [
            part for name, value in self.options.items() for part in ("-o", f"{name}={value}")
        ]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def kombu_process(folder: Folder) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``python -m kombu COMMAND filesystem:// ...`` in a process of its own."""

    def run(command: str, *arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kombu", command, "filesystem://", *arguments,
             *folder.arguments],
            input=input, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def kombu_call(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, list[Any]]]:
    """Call a command on the folder with ``--json``; its exit code and results."""

    def call(command: str, *arguments: str) -> tuple[int, list[Any]]:
        code = main([command, "filesystem://", *arguments, *folder.arguments, "--json"])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return call
