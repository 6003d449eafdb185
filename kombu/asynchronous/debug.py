"""Showing what an event loop watches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..utils.eventio import ERR, READ, WRITE
from ..utils.functional import reprcall

__all__ = (
    "callback_for",
    "repr_active",
    "repr_events",
    "repr_flag",
    "repr_readers",
    "repr_writers",
)


def repr_flag(flag: int) -> str:
    """``R``, ``W`` and ``!`` for READ, WRITE and ERR."""
    return "".join(letter for bit, letter in ((READ, "R"), (WRITE, "W"), (ERR, "!")) if flag & bit)


def repr_readers(h: Any) -> list[str]:
    """A line per reader of the hub."""
    return [f"({fd}){_called(entry)}->{repr_flag(READ | ERR)}" for fd, entry in h.readers.items()]


def repr_writers(h: Any) -> list[str]:
    """A line per writer of the hub."""
    return [f"({fd}){_called(entry)}->{repr_flag(WRITE)}" for fd, entry in h.writers.items()]


def repr_active(h: Any) -> str:
    """Everything that the hub watches."""
    return ", ".join(repr_readers(h) + repr_writers(h))


def repr_events(h: Any, events: Iterable[tuple[int, int]]) -> str:
    """What the hub would call for these ``(fd, flags)``."""
    return ", ".join(
        f"{_called(callback_for(h, fd, flags, None))}({fd})->{repr_flag(flags)}"
        for fd, flags in events
    )


def callback_for(h: Any, fd: int, flag: int, *default: Any) -> Any:
    """The hub's entry for a descriptor and READ or WRITE.

    Raises:
        KeyError: there is none, and no default was given.
    """
    for bit, registry in ((READ, h.readers), (WRITE, h.writers)):
        if flag & bit and fd in registry:
            return registry[fd]
    if default:
        return default[0]
    raise KeyError(fd)


def _called(entry: Any) -> str:
    if entry is None:
        return "(GONE)"
    callback, args = entry
    return str(reprcall(getattr(callback, "__name__", repr(callback)), args))
