"""What was read once is kept until the server says that it changed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from kazoo.handlers.threading import SequentialThreadingHandler

Value = TypeVar("Value")

#: How many values are kept; above it all are forgotten.
KEEP = 10_000


class PromptHandler(SequentialThreadingHandler):
    """Runs watches in the thread that reads from the server, before any later answer is read.

    A message is then never routed by what the server had announced as changed before that
    message came. Watches must not block or call the server.
    """

    def dispatch_callback(self, callback: Any) -> None:
        callback.func(*callback.args)


class Watch:
    """Passed to one read; told when what it read is no longer so."""

    __slots__ = ("fired", "on_fire", "value")

    def __init__(self, on_fire: Callable[[Watch], None]) -> None:
        self.fired = False
        self.value: Any = None
        self.on_fire = on_fire

    def __call__(self, event: Any) -> None:
        self.fired = True
        self.on_fire(self)


class WatchedReads:
    """Values by path; exact as far as the server has told this client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, Watch] = {}

    def get(self, path: str, read: Callable[[Watch], Value]) -> Value:
        """The value read at ``path``, from memory while its watch has not fired.

        Arguments:
            read: asks the server, and has it call the watch that it is given.
        """
        kept = self._kept.get(path)
        if kept is not None:
            value: Value = kept.value
            return value
        watch = Watch(lambda fired: self._forget(path, fired))
        value = watch.value = read(watch)
        with self._lock:
            if not watch.fired:
                if len(self._kept) >= KEEP:
                    self._kept.clear()
                self._kept[path] = watch
        return value

    def _forget(self, path: str, watch: Watch) -> None:
        with self._lock:
            if self._kept.get(path) is watch:
                del self._kept[path]

    def clear(self) -> None:
        """The connection was interrupted: what changed meanwhile is announced by nobody."""
        with self._lock:
            for watch in self._kept.values():
                watch.fired = True
            self._kept.clear()
