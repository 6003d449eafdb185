"""A store driven by the event loop of :mod:`kombu.asynchronous`."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Any

from kombu.transport.virtual.lease import GATHER_TIME
from kombu.transport.virtual.store import Store

#: Messages delivered in a row before other descriptors get their turn.
_AT_ONCE = 100

#: Seconds between two looks at what is overdue, where no lease asks for less.
_HOUSEKEEPING = 1.0


class LoopDriver:
    """Watches a store's descriptors, delivers what can be claimed, keeps leases alive.

    Before the loop sleeps, the store is armed for the queues whose consumers have credit;
    when a descriptor becomes readable, messages are delivered until there are none or
    credit is used up.

    Arguments:
        transport: the virtual transport.
        store: its store.
        loop: a :class:`kombu.asynchronous.Hub`.
    """

    def __init__(self, transport: Any, store: Store, loop: Any) -> None:
        self.transport = transport
        self.store = store
        self.loop = loop
        self._watched: set[int] = set()
        self._armed: set[str] = set()
        self._version: Hashable = None
        self._timer: Any = None
        self._stopped = False
        #: Since when there is credit that is not worth a claim yet.
        self._sparse_since: float | None = None

    def start(self) -> None:
        """Take part in the loop."""
        lease = self.store.lease
        interval = _HOUSEKEEPING if lease is None else min(lease / 4, _HOUSEKEEPING)
        self._timer = self.loop.call_repeatedly(interval, self._housekeeping)
        self.loop.on_tick.add(self.on_tick)
        self.transport.dispatcher.evented = True

    def stop(self) -> None:
        """Take part no more."""
        self._stopped = True
        self.transport.dispatcher.evented = False
        self.loop.on_tick.discard(self.on_tick)
        if self._timer is not None:
            self._timer.cancel()
        for fileno in self._watched:
            self.loop.remove_reader(fileno)
        self._watched.clear()

    def _housekeeping(self) -> None:
        if not self._stopped:
            self._tick()
            # Expired messages and ended delays announce themselves on no descriptor.
            if not (self._armed and self.store.is_armed(tuple(self._armed))):
                self._ask_again()

    def on_tick(self) -> None:
        """Called before the loop sleeps."""
        if self._stopped:
            return
        dispatcher = self.transport.dispatcher
        unheard = any(not dispatcher.is_dry(queue) for queue in dispatcher.wanted())
        if dispatcher.holding or (unheard and self._worthwhile()):
            self._deliver()
        self._tick()
        empty = {queue for queue in dispatcher.wanted() if dispatcher.is_dry(queue)}
        if empty - self._armed:
            self.store.arm(tuple(empty))
            self._armed = empty
        self._watch()

    def _tick(self) -> None:
        """Settle and renew what is due, unless that would hold up the loop."""
        if self.store.quick:
            self.transport.keeper.tick()

    def _worthwhile(self) -> bool:
        """Whether to claim now: with credit for a good part of the window, or after a moment."""
        now = time.monotonic()
        if self.transport.dispatcher.worth_claiming():
            self._sparse_since = None
            return True
        if self._sparse_since is None:
            self._sparse_since = now
            self.loop.call_later(GATHER_TIME, _nothing)
            return False
        if now - self._sparse_since < GATHER_TIME:
            return False
        self._sparse_since = None
        return True

    def _watch(self) -> None:
        filenos = set(self.store.filenos())
        version = self.store.descriptors_version
        if version != self._version:
            # What the kernel watches is tied to the descriptor, not to its number.
            for fileno in self._watched:
                self.loop.remove_reader(fileno)
            self._watched, self._version = set(), version
        for fileno in self._watched - filenos:
            self.loop.remove_reader(fileno)
        for fileno in filenos - self._watched:
            self.loop.add_reader(fileno, self.on_readable, fileno)
        self._watched = filenos

    def on_readable(self, fileno: int) -> None:
        """Called by the loop."""
        if self._stopped:
            return
        if self.store.on_readable(fileno):
            self._ask_again()
            if self._worthwhile():
                self._deliver()
        self._watch()

    def _ask_again(self) -> None:
        self._armed = set()
        self.transport.dispatcher.ask_again()

    def _deliver(self) -> None:
        for _ in range(_AT_ONCE):
            if self._stopped or not self.transport._deliver_next():
                return
        # The loop must not sleep now.
        self.loop.call_soon(_nothing)


def _nothing() -> None:
    """Ends the loop's sleep."""


assert GATHER_TIME < _HOUSEKEEPING
