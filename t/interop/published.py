"""The published kombu, in an environment of its own outside the repository."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VERSION = "5.7.0"
PEER = Path(__file__).with_name("peer.py")


class Published:
    """Runs commands of ``peer.py`` under the published kombu.

    Arguments:
        interpreter: see :func:`t.peers.published_python`.
        url: the broker.
        transport_options: those of the connection.
        cwd: folder to run in, away from the code under test.
    """

    def __init__(
        self, interpreter: str, url: str, transport_options: Mapping[str, Any], cwd: Path
    ) -> None:
        self.url = url
        self._options = json.dumps(transport_options)
        self._interpreter = interpreter
        self._cwd = cwd

    def start(self, command: str, *arguments: str, **flags: Any) -> subprocess.Popen[str]:
        """Start a command; flags as ``peer.py`` names them, values as JSON or text, or ``True``."""
        # -I: nothing of the code under test may be found.
        words = [self._interpreter, "-I", str(PEER), command]
        if command != "version":
            words.append(self.url)
        words += arguments
        words += ["--transport-options", self._options]
        for flag, value in flags.items():
            words.append(f"--{flag.replace('_', '-')}")
            if value is not True:
                words.append(value if isinstance(value, str) else json.dumps(value))
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        return subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, cwd=self._cwd, env=environment
        )

    def run(self, command: str, *arguments: str, **flags: Any) -> dict[str, Any]:
        """Run a command to its end, and give its result."""
        process = self.start(command, *arguments, **flags)
        return self.result(process)

    @staticmethod
    def ready(process: subprocess.Popen[str]) -> None:
        """Wait until a command says that it is subscribed."""
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert line["event"] == "ready", line

    @staticmethod
    def result(process: subprocess.Popen[str], timeout: float = 60) -> dict[str, Any]:
        """The last line of a command."""
        begun = time.monotonic()
        output, _ = process.communicate(timeout=timeout)
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        assert lines, f"no result after {time.monotonic() - begun:.1f} s"
        result: dict[str, Any] = lines[-1]
        assert "error" not in result, result
        return result
