"""What a command prints: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from kombu.cli.secrets import Secrets

#: Seconds between two lines of progress.
_PROGRESS_INTERVAL = 0.2


class OutputClosed(Exception):
    """Whoever read our output has gone."""


class Console:
    """Prints results as text or as JSON, one object a line; passwords are cut out.

    Arguments:
        as_json: print results as JSON.
        out: where results go; standard output by default.
        err: where messages and progress go; standard error by default.
    """

    def __init__(
        self, as_json: bool = False, out: TextIO | None = None, err: TextIO | None = None
    ) -> None:
        self.as_json = as_json
        self.secrets = Secrets()
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._last_progress = 0.0
        self._shown = 0

    def result(self, data: Mapping[str, Any], text: str) -> None:
        """Print one result, flushed: as JSON, or as ``text``."""
        self._clear()
        line = json.dumps(data, default=str) if self.as_json else text
        self._print(self.secrets.cut(line))

    def message(self, text: str) -> None:
        """Print what is no result."""
        self._clear()
        print(self.secrets.cut(text), file=self._err, flush=True)

    def payload(self, line: str) -> None:
        """Print a message's body: it is the user's own, nothing is cut out."""
        self._clear()
        self._print(line)

    def _print(self, line: str) -> None:
        # What the terminal can't show must not stop what consumes.
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        shown = line.encode(encoding, "backslashreplace").decode(encoding)
        try:
            print(shown, file=self._out, flush=True)
        except BrokenPipeError as exc:
            raise OutputClosed from exc

    def progress(self, doing: str, done: int, of: int | None = None) -> None:
        """Show how far long work is; on terminals only, a few times a second."""
        now = time.monotonic()
        if not self._err.isatty() or now - self._last_progress < _PROGRESS_INTERVAL:
            return
        self._last_progress = now
        line = f"{doing}: {done}" + (f" of {of}" if of else "")
        self._err.write("\r" + line.ljust(self._shown))
        self._err.flush()
        self._shown = len(line)

    def _clear(self) -> None:
        if self._shown:
            self._err.write("\r" + " " * self._shown + "\r")
            self._err.flush()
            self._shown = 0
