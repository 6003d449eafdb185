"""What is in a message file, and files whose writers may not be done yet."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress

from kombu.transport.filesystem.locks import LOCK_SH, lock
from kombu.transport.virtual.store import Envelope
from kombu.utils.json import loads

#: Key of an envelope: how often it was delivered. Beside ``redelivered``, which 5.7 reads.
_DELIVERIES = "deliveries"
#: 5.7 writes in place: what can't be read yet may be complete within so many seconds.
_RIPENING = 2.0
#: Seconds between two looks at such a file.
_AGAIN = 0.05


def read(path: str) -> Envelope:
    """The message in a file.

    Raises:
        ValueError: it holds none.
        OSError: it can't be read.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except IsADirectoryError as exc:
        raise ValueError("a folder") from exc
    with file:
        with suppress(OSError):  # not every file system has locks
            lock(file, LOCK_SH)  # 5.7 writes under a lock
        data = file.read()
    message = loads(data.decode())
    if not isinstance(message, dict) or not isinstance(message.get("properties"), Mapping):
        raise ValueError("not a message")
    return message


def take_deliveries(message: Envelope) -> tuple[bool, int]:
    """Whether it was delivered before, and how often; both are taken out of the envelope."""
    again = bool(message.pop("redelivered", False))
    return again, message.pop(_DELIVERIES, int(again))


def count_delivery(message: Envelope) -> None:
    """Note that it was delivered and comes back."""
    message[_DELIVERIES] = message.get(_DELIVERIES, 0) + 1
    message["redelivered"] = True


class Unripe:
    """Files that could not be read, and when to look at them again."""

    def __init__(self) -> None:
        self._again: dict[str, float] = {}

    @staticmethod
    def may_ripen(path: str) -> bool:
        """Whether somebody may still be writing it."""
        return time.time() - os.stat(path).st_mtime < _RIPENING

    def add(self, file: str) -> None:
        """Leave this file alone for a while."""
        self._again[file] = time.time() + _AGAIN

    @property
    def pause(self) -> float | None:
        """Seconds to the next look; ``None``: there is none to look at."""
        return _AGAIN if self._again else None

    def resting(self, now: float) -> list[str]:
        """Those whose time has not come."""
        return [file for file, again in self._again.items() if again > now]

    def ripe(self, now: float) -> list[str]:
        """Those whose time has come; they are forgotten."""
        ripe = [file for file, again in self._again.items() if again <= now]
        for file in ripe:
            del self._again[file]
        return ripe
