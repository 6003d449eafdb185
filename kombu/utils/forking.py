"""What has to happen in a forked child, whatever forked it."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ("AfterFork", "register")


class AfterFork(Protocol):
    """Something that holds what a child must not share with its parent."""

    def after_fork_in_child(self) -> None:
        """Let go of it without telling the peer; must not block."""


_holders: WeakSet[AfterFork] = WeakSet()


def register(holder: AfterFork) -> None:
    """Have :meth:`AfterFork.after_fork_in_child` called in each child; holds no reference."""
    _holders.add(holder)


def _in_child() -> None:
    for holder in list(_holders):
        holder.after_fork_in_child()


# os.register_at_fork sees os.fork, multiprocessing and billiard alike; Windows has none of them.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
