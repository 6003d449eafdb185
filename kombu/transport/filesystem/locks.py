"""File locks: ``flock`` for tables shared with 5.7, record locks for what must die with us."""

from __future__ import annotations

import os
import sys
from typing import IO, Any

if sys.platform == "win32":
    import msvcrt

    LOCK_SH = 0x0
    LOCK_NB = 0x1
    LOCK_EX = 0x2

    def lock(file: IO[Any], flags: int) -> None:
        """Lock an open file; ``LOCK_NB``: raise ``OSError`` instead of waiting."""
        mode = msvcrt.LK_NBLCK if flags & LOCK_NB else msvcrt.LK_LOCK
        position = file.tell()
        file.seek(0)
        msvcrt.locking(file.fileno(), mode, 1)
        file.seek(position)

    def unlock(file: IO[Any]) -> None:
        """Release what :func:`lock` took."""
        position = file.tell()
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        file.seek(position)

    def try_own(descriptor: int) -> bool:
        """Take the file for this process's life; whether nobody else has it."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    LOCK_SH = fcntl.LOCK_SH
    LOCK_NB = fcntl.LOCK_NB
    LOCK_EX = fcntl.LOCK_EX

    def lock(file: IO[Any], flags: int) -> None:
        """Lock an open file; ``LOCK_NB``: raise ``OSError`` instead of waiting."""
        fcntl.flock(file.fileno(), flags)

    def unlock(file: IO[Any]) -> None:
        """Release what :func:`lock` took."""
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)

    def try_own(descriptor: int) -> bool:
        """Take the file for this process's life; whether no other process has it.

        A record lock, not ``flock``: children made by fork don't inherit it, so it ends with
        the very process that took it, even while its children live on.
        """
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True


def sync_folder(folder: str) -> None:
    """Make the names in a folder durable, where the system can."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
