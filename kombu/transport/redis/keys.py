"""The names of all keys and channels, in one place.

What stands under them is said in ``claim.lua``. In a Redis Cluster every name that belongs
to one queue starts with the same hash tag, so that a queue and its bookkeeping share a slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Bookkeeping(NamedTuple):
    """The four keys that record which messages are held, and by whom."""

    unacked: str
    signs: str
    holdings: str
    leases: str


@dataclass(frozen=True)
class Keyspace:
    """Maps queues, exchanges and owners to key names.

    Arguments:
        prefix: ``global_keyprefix``, before every key and channel.
        sep: what stands between a queue and its priority step.
        steps: the priority steps, ascending; the first one's list has the queue's own name.
        unacked, index: option ``unacked_key`` and ``unacked_index_key``.
        tagged: give every queue a hash tag of its own (Redis Cluster). Without it a cluster
            works too if ``prefix`` holds a hash tag, all queues then sharing one slot.
    """

    prefix: str = ""
    sep: str = "\x06\x16"
    steps: tuple[int, ...] = (0, 3, 6, 9)
    unacked: str = "unacked"
    index: str = "unacked_index"
    tagged: bool = False

    # ---- of one queue

    def base(self, queue: str) -> str:
        """The list of the first priority step."""
        if self.tagged:
            return f"{self.prefix}{{{_without_braces(queue)}}}"
        return self.prefix + queue

    def lists(self, queue: str) -> list[str]:
        """The lists of a queue, one per priority step, most urgent first."""
        base = self.base(queue)
        return [f"{base}{self.sep}{step}" if step else base for step in self.steps]

    def list_for(self, queue: str, priority: int) -> str:
        """The list a message of this priority goes to."""
        step = self.step_of(priority)
        base = self.base(queue)
        return f"{base}{self.sep}{step}" if step else base

    def step_of(self, priority: int) -> int:
        """The largest step not above the priority."""
        chosen = self.steps[0]
        for step in self.steps:
            if step <= priority:
                chosen = step
        return chosen

    def of_queue(self, kind: str, queue: str) -> str:
        """An additive key of ours; of a kind: idle, sentry, delayed, quarantine ..."""
        before, after = self.around(kind)
        return before + (_without_braces(queue) if self.tagged else queue) + after

    def around(self, kind: str) -> tuple[str, str]:
        """What stands before and after a queue's name in :meth:`of_queue`, for scripts."""
        if self.tagged:
            return self.prefix + "{", f"}}_kombu.{kind}"
        return f"{self.prefix}_kombu.{kind}.", ""

    def bookkeeping(self, queue: str) -> Bookkeeping:
        """The keys that record what is held of a queue; one set for all unless tagged."""
        before = self.base(queue) + "." if self.tagged else self.prefix
        return Bookkeeping(
            before + self.unacked,
            before + self.index,
            f"{before}_kombu.holdings",
            f"{before}_kombu.leases",
        )

    def grouped(self, queues: Sequence[str]) -> list[list[str]]:
        """Queues that one script can serve together, in order."""
        if self.tagged:
            return [[queue] for queue in queues]
        return [list(queues)] if queues else []

    # ---- of exchanges

    def bindings(self, exchange: str) -> str:
        """The binding table (published format)."""
        return f"{self.binding_prefix}{self._exchange(exchange)}"

    def permanent_bindings(self, exchange: str) -> str:
        """Bindings of queues that do not expire (published format)."""
        return f"{self.permanent_prefix}{self._exchange(exchange)}"

    def _exchange(self, exchange: str) -> str:
        return f"{{{_without_braces(exchange)}}}" if self.tagged else exchange

    @property
    def binding_prefix(self) -> str:
        """Before an exchange's name in the key of its table."""
        return f"{self.prefix}_kombu.binding."

    @property
    def permanent_prefix(self) -> str:
        """Before an exchange's name in the key of its permanent table."""
        return f"{self.prefix}_kombu.binding_permanent."

    @property
    def deadlines(self) -> str:
        """Until when tables of expiring bindings are kept (published format)."""
        return f"{self.prefix}_kombu.binding_deadlines"

    @property
    def exchange_types(self) -> str:
        """Hash exchange -> type (additive)."""
        return f"{self.prefix}_kombu.exchange_types"

    # ---- of owners

    @property
    def wake_channel(self) -> str:
        """Before an owner's name: the channel that wakes it."""
        return f"{self.prefix}_kombu.wake."


def _without_braces(name: str) -> str:
    """A name that can stand inside a hash tag without ending it."""
    if "{" in name or "}" in name or "%" in name:
        return name.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
    return name or "%"
