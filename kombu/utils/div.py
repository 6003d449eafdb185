"""Last resorts."""

from __future__ import annotations

import logging
import os
import pickle
import pprint
import tempfile
from collections.abc import Callable
from typing import IO, Any

logger = logging.getLogger(__name__)


def emergency_dump_state(
    state: Any,
    open_file: Callable[..., IO[bytes]] = open,
    dump: Callable[..., Any] | None = None,
    stderr: IO[str] | None = None,
) -> str:
    """Write ``state`` to a new temporary file, pickled or else as text, and return its path.

    Arguments:
        state: what must not be lost.
        open_file: opens the file.
        dump: pickles, called as ``dump(state, file, protocol=0)``.
        stderr: where to tell the path; by default it is logged.
    """
    dump = dump or pickle.dump
    descriptor, path = tempfile.mkstemp()
    os.close(descriptor)
    _tell(f"EMERGENCY DUMP STATE TO FILE -> {path} <-", stderr)
    with open_file(path, "w+b") as file:
        try:
            dump(state, file, protocol=0)
        except Exception as exc:  # noqa: BLE001 - whatever fails, the state is written
            _tell(f"Cannot pickle state: {exc!r}. Fallback to pformat.", stderr)
            file.seek(0)
            file.truncate()
            file.write(pprint.pformat(state).encode("utf-8", "backslashreplace"))
        file.flush()
    return path


def _tell(text: str, stderr: IO[str] | None) -> None:
    if stderr is None:
        logger.critical(text)
    else:
        print(text, file=stderr)
