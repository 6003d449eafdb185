"""Names of message files: ``<milliseconds>_<uuid>.<queue>.msg``.

The shape is the one 5.7 writes and reads: sorted by name, the part after the first dot names
the queue. Its uuid is random; ours is a version 8 uuid (RFC 9562, "custom") that holds what
readers of ours need to know without opening the file:

========  ====================================================================
48 bits   nanoseconds within the millisecond (20), process id (28)
 4 bits   version: 8
12 bits   priority (4), random (8)
 2 bits   variant
62 bits   unix time in milliseconds at which it expires, 0 for never (42), random (20)
========  ====================================================================
"""

from __future__ import annotations

import os
import random
import threading
import time
from functools import lru_cache
from typing import NamedTuple

from kombu.transport.virtual.errors import precondition_failed

SUFFIX = ".msg"
_LONGEST = 255
_MS = 1_000_000
#: Milliseconds that fit into a name, to the year 2109; what expires later expires then.
_LATEST = (1 << 42) - 1


class Name(NamedTuple):
    """What a message file's name says; sorts as the messages of one queue are delivered."""

    rank: int
    milliseconds: int
    file: str
    queue: str
    expires_at: float | None

    def at(self, milliseconds: int) -> Name:
        """The same with another time."""
        file = f"{milliseconds}_{self.file.partition('_')[2]}"
        return self._replace(milliseconds=milliseconds, file=file)

    @property
    def priority(self) -> int:
        """0 to 9; 0 for files that 5.7 wrote."""
        return -self.rank


def parse(file: str) -> Name | None:
    """Read a file name; ``None`` when it is not that of a message."""
    head, dot, rest = file.partition(".")
    if not (dot and head and rest.endswith(SUFFIX)) or len(rest) <= len(SUFFIX):
        return None
    queue = rest[: -len(SUFFIX)]
    stamp, _, unique = head.partition("_")
    milliseconds = int(stamp) if stamp.isascii() and stamp.isdigit() else 0
    if len(unique) == 36 and unique[14] == "8":
        try:
            number = int(unique.replace("-", ""), 16)
        except ValueError:
            return Name(0, milliseconds, file, queue, None)
        priority = min((number >> 72) & 0xF, 9)
        expires = (number >> 20) & _LATEST
        return Name(-priority, milliseconds, file, queue, expires / 1000 if expires else None)
    return Name(0, milliseconds, file, queue, None)


class Clock:
    """Makes names that sort in the order they were asked for, within one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def name(self, queue: str, priority: int = 0, expires_at: float | None = None) -> Name:
        """A new name for a message in ``queue``.

        Raises:
            PreconditionFailed: 406; the queue's name can't be part of a file name.
        """
        # Half a millisecond on, because 5.7 rounds where a division cuts off.
        now = time.monotonic_ns() + _MS // 2
        with self._lock:
            now = self._last = max(now, self._last + 1)
        return self._compose(now, queue, priority, expires_at)

    @staticmethod
    def _compose(now: int, queue: str, priority: int, expires_at: float | None) -> Name:
        expires = 0 if expires_at is None else min(max(int(expires_at * 1000), 1), _LATEST)
        number = (
            ((now % _MS) << 108)
            | ((os.getpid() & 0xFFFFFFF) << 80)
            | (8 << 76)
            | (priority << 72)
            | (random.getrandbits(8) << 64)
            | (2 << 62)
            | (expires << 20)
            | random.getrandbits(20)
        )
        text = f"{number:032x}"
        unique = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        milliseconds = now // _MS
        # What :func:`parse` would read from it.
        return Name(
            -priority,
            milliseconds,
            f"{milliseconds}_{unique}.{queue}{SUFFIX}",
            queue,
            expires / 1000 if expires else None,
        )


@lru_cache(maxsize=1024)
def check_queue(queue: str) -> None:
    """Raise unless messages of ``queue`` can be files.

    Raises:
        PreconditionFailed: 406; naming what is wrong.
    """
    if not queue:
        problem = "is empty"
    elif any(character in queue for character in "/\\\0"):
        problem = "holds a slash, a backslash or a NUL"
    elif len(os.fsencode(queue)) > _LONGEST - 64:
        problem = f"is longer than {_LONGEST - 64} bytes"
    else:
        return
    raise precondition_failed(
        f"queue name {queue!r} can't be part of a file name: it {problem}", "Queue.declare"
    )
