"""Who holds messages: a folder per owner, and a lock that ends with its process.

``<messages>/.kombu/claims/`` holds for every owner ``<name>.lock`` (locked while its process
lives), ``<name>/`` (the files of the messages it holds) and ``<name>.bell`` (a named pipe: a
byte in it means "look again").
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from uuid import uuid4

from kombu.log import get_logger
from kombu.transport.filesystem.locks import try_own
from kombu.transport.filesystem.names import SUFFIX

logger = get_logger(__name__)

LOCK, BELL, NEW = ".lock", ".bell", ".new"
#: A leftover of a process that died while it started is removed after this many seconds.
_STALE = 600.0
#: Most seconds of a sleep that nobody can end.
_WITHOUT_BELL = 0.05


class _Process:
    """The owners that live in this process: their locks don't keep ourselves out."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """After a fork: the parent's owners are not ours."""
        self.names: set[str] = set()
        self.recovering = threading.Lock()


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.forget)


class Owner:
    """One holder of messages.

    Arguments:
        claims: the folder of all owners.
    """

    def __init__(self, claims: str) -> None:
        self.name = f"{os.getpid()}-{uuid4().hex}"
        self._claims = claims
        self.folder = os.path.join(claims, self.name)
        self.bell: int | None = None
        self._clapper: int | None = None
        path = self.folder
        self._lock = os.open(path + NEW, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        _process.names.add(self.name)
        # Locked before it has its name: nobody may ever find it there without a lock.
        try_own(self._lock)
        os.mkdir(self.folder)
        os.rename(path + NEW, path + LOCK)
        self._hang_bell(path + BELL)

    def _hang_bell(self, path: str) -> None:
        if not hasattr(os, "mkfifo"):
            return
        try:
            os.mkfifo(path)
            self.bell = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            self._clapper = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as exc:
            logger.debug("no named pipe in %r (%s): looking for messages instead", path, exc)

    def ring(self) -> None:
        """Wake a thread of our own that waits."""
        if self._clapper is not None:
            with suppress(BlockingIOError):
                os.write(self._clapper, b"!")

    def listen(self, seconds: float) -> bool:
        """Sleep until the bell is rung; whether it was."""
        if self.bell is None:
            time.sleep(min(seconds, _WITHOUT_BELL))
            return False
        readable, _, _ = select.select([self.bell], [], [], seconds)
        return bool(readable) and self.hush()

    def hush(self) -> bool:
        """Empty the bell; whether it was rung."""
        if self.bell is None:
            return False
        try:
            # Not os.read, which waits where eventlet has patched it.
            return bool(os.readv(self.bell, [bytearray(4096)]))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Free descriptors and names; the folder must be empty, else others recover it."""
        for descriptor in (self.bell, self._clapper):
            if descriptor is not None:
                os.close(descriptor)
        self.bell = self._clapper = None
        with suppress(FileNotFoundError):
            os.unlink(self.folder + BELL)
        try:
            os.rmdir(self.folder)
            os.unlink(self.folder + LOCK)
        except OSError as exc:
            logger.warning("%r keeps messages for others to take over: %s", self.folder, exc)
        finally:
            os.close(self._lock)
            _process.names.discard(self.name)

    def abandon(self) -> None:
        """In a forked child: close the descriptors it inherited, and nothing else."""
        for descriptor in (self.bell, self._clapper, self._lock):
            if descriptor is not None:
                with suppress(OSError):
                    os.close(descriptor)
        self.bell = self._clapper = None


class Bells:
    """Rings the bells of all owners of a folder."""

    def __init__(self, claims: str) -> None:
        self._claims = claims
        self._stamp: int | None = None
        self._paths: list[str] = []

    def ring(self) -> None:
        """Wake whoever waits for messages of this folder."""
        try:
            stamp = os.stat(self._claims).st_mtime_ns
        except FileNotFoundError:
            return
        if stamp != self._stamp:
            names = os.listdir(self._claims)
            self._paths = [os.path.join(self._claims, n) for n in names if n.endswith(BELL)]
            settled = abs(time.time() - stamp / 1e9) > 0.05
            self._stamp = stamp if settled else None
        for path in self._paths:
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # gone meanwhile, or its process is
                continue
            try:
                os.write(descriptor, b"!")
            except (BlockingIOError, BrokenPipeError):
                pass  # rung often enough, or gone
            finally:
                os.close(descriptor)


def is_alive(claims: str, name: str) -> bool:
    """Whether the process of an owner still lives."""
    if name in _process.names:
        return True
    try:
        descriptor = os.open(os.path.join(claims, name + LOCK), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not try_own(descriptor)
    finally:
        os.close(descriptor)


def held(claims: str, queue: str) -> int:
    """How many messages of a queue the owners hold."""
    files = (file for _, _, files in os.walk(claims) for file in files)
    return sum(file.partition(".")[2] == queue + SUFFIX for file in files)


def recover(claims: str, give_back: Callable[[str, Iterable[str]], None]) -> None:
    """Find owners whose process is gone, and give their messages back.

    Arguments:
        give_back: called with an owner's folder and its files, in order.
    """
    with _process.recovering:
        for file in os.listdir(claims):
            if file.endswith(LOCK) and file[: -len(LOCK)] not in _process.names:
                _recover_one(os.path.join(claims, file[: -len(LOCK)]), give_back)
            elif file.endswith(NEW):
                _remove_stale(os.path.join(claims, file))


def _recover_one(path: str, give_back: Callable[[str, Iterable[str]], None]) -> None:
    try:
        descriptor = os.open(path + LOCK, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        if not try_own(descriptor):
            return
        files: list[str] = []
        with suppress(FileNotFoundError):
            files = sorted(os.listdir(path))
        if files:
            logger.warning("%r died holding %d message(s): given back", path, len(files))
        give_back(path, files)
        with suppress(FileNotFoundError):
            os.rmdir(path)
        for name in (path + BELL, path + LOCK):
            with suppress(FileNotFoundError):
                os.unlink(name)
    finally:
        os.close(descriptor)


def _remove_stale(path: str) -> None:
    with suppress(FileNotFoundError):
        if time.time() - os.stat(path).st_mtime > _STALE:
            os.unlink(path)
