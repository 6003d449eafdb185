"""What has to happen in a forked child, whatever forked it."""

from __future__ import annotations

import os
from typing import Any, Protocol
from weakref import WeakSet

from kombu.utils.loggers import get_logger

__all__ = ("AfterFork", "keep", "register")


logger = get_logger(__name__)


class AfterFork(Protocol):
    """Something that holds what a child must not share with its parent."""

    def after_fork_in_child(self) -> None:
        """Let go of it without telling the peer; must not block."""


_holders: WeakSet[AfterFork] = WeakSet()


def register(holder: AfterFork) -> None:
    """Have :meth:`AfterFork.after_fork_in_child` called in each child; holds no reference."""
    _holders.add(holder)


#: What children hold of their parents, to the end of the process.
_kept: list[Any] = []


def keep(*left: Any) -> None:
    """In a child: hold what is the parent's, so that no finalizer speaks on its sockets."""
    _kept.extend(left)


def _in_child() -> None:
    for holder in list(_holders):
        try:
            holder.after_fork_in_child()
        except Exception:
            # The others must let go all the same.
            logger.exception("%s could not let go of what its parent holds", type(holder).__name__)


# os.register_at_fork sees os.fork, multiprocessing and billiard alike; Windows has none of them.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
