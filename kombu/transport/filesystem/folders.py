"""Where things are in a message folder, and how a file gets there whole or not at all.

Beside the message files, which 5.7 shares, a folder holds ``.kombu/`` (no name that 5.7 takes
for a message): ``claims`` (messages held, by owner), ``delayed`` (messages whose time has not
come, ``<unix milliseconds>_<uuid>.<queue>.msg``), ``writing`` (files that are not complete),
``quarantine`` (files that are no messages).
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from itertools import count

from kombu.transport.filesystem.locks import sync_folder

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
#: What a writer that died has left is removed after this many seconds.
_STALE = 3600.0


class Folder:
    """One message folder.

    Arguments:
        path: the folder; it must exist.
        option: name of the option that named it, for messages.
        fsync: whether to wait for the disk.
    """

    def __init__(self, path: str, option: str, fsync: bool = False) -> None:
        self.path = os.path.abspath(path)
        self._prefix = os.path.join(self.path, "")
        self.option = option
        self.fsync = fsync
        own = os.path.join(self.path, ".kombu")
        self.claims = os.path.join(own, "claims")
        self.delayed = os.path.join(own, "delayed")
        self.writing = os.path.join(own, "writing")
        self.quarantine = os.path.join(own, "quarantine")
        self._numbers = count()

    def prepare(self) -> None:
        """Make the folders beside the messages.

        Raises:
            FileNotFoundError: the folder itself is missing.
        """
        if not os.path.isdir(self.path):
            raise FileNotFoundError(
                2, f"the folder of the transport option {self.option!r} does not exist", self.path
            )
        for folder in (self.claims, self.delayed, self.writing, self.quarantine):
            os.makedirs(folder, exist_ok=True)
        self._tidy()

    def _tidy(self) -> None:
        oldest = time.time() - _STALE
        for entry in os.scandir(self.writing):
            with suppress(FileNotFoundError):
                if entry.stat().st_mtime < oldest:
                    os.unlink(entry.path)

    def path_of(self, file: str) -> str:
        """Where a message file of this name is."""
        return self._prefix + file

    def write(self, target: str, data: bytes) -> None:
        """Make ``target``, an absolute path in this folder, appear with all of ``data``."""
        draft = os.path.join(self.writing, f"{os.getpid()}-{id(self)}-{next(self._numbers)}")
        try:
            self._create(draft, data)
            os.rename(draft, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise

    def _create(self, path: str, data: bytes) -> None:
        # Three system calls fewer than ``open`` needs, for every message.
        descriptor = os.open(path, _NEW, 0o666)
        try:
            written = os.write(descriptor, data)
            while written < len(data):  # as may happen on network file systems, or near a limit
                written += os.write(descriptor, data[written:])
            if self.fsync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync(self, *folders: str) -> None:
        """Wait for the names in these folders."""
        for folder in folders:
            sync_folder(folder)
