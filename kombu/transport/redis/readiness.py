"""Asking the kernel about sockets, where eventlet has taken poll(2) out of ``select``, too."""

from __future__ import annotations

import select
import sys
from importlib import import_module
from typing import Any

__all__ = ("new_poll",)


def new_poll() -> Any:
    """A ``select.poll()``, or what there is in its place at this moment."""
    return select.poll() if hasattr(select, "poll") else _SelectPoll()


class _SelectPoll:
    """What is used of ``select.poll()``, over ``select.select()``, which knows no hang-ups."""

    def __init__(self) -> None:
        self._watched: list[tuple[Any, int]] = []

    def register(self, descriptor: Any, events: int) -> None:
        self._watched.append((descriptor, events))

    def poll(self, milliseconds: float) -> list[Any]:
        if not milliseconds and "eventlet" in sys.modules:
            # It allows one waiting reader for a descriptor. Nobody waits here: ask the kernel.
            real = import_module("eventlet.patcher").original("select").poll()
            for descriptor, events in self._watched:
                real.register(descriptor, events)
            return list(real.poll(0))
        readers = [each for each, events in self._watched if events & select.POLLIN]
        return select.select(readers, [], [], milliseconds / 1000)[0]
