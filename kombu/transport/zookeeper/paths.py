"""Where what stands: published paths for messages, ``.kombu`` beside the queues for the rest.

======================================  =====================================================
path below the virtual host             holds
======================================  =====================================================
``<queue>/entry-PPP-NNNNNNNNNN``        a waiting message; PPP = 9 - priority (as published)
``.kombu/owners/<owner>``               ephemeral: its owner's session lives
``.kombu/claims/<owner>/<claim>``       a message held by that owner
``.kombu/delayed/<when>-<queue>-PPP-N`` a message that is not ready before ``when`` (ms)
``.kombu/exchanges/<exchange>``         its type
``.kombu/exchanges/<exchange>/<b>``     one binding of it
``.kombu/queues/<queue>``               the arguments it was declared with
``.kombu/quarantine/<claim>``           what was found in a queue and is no message
======================================  =====================================================
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote

from kombu.transport.virtual.errors import InvalidName

ENTRY_PREFIX = "entry-"
HIGHEST_PRIORITY = 9


class ClaimName(NamedTuple):
    """What the name of a claim's node tells: enough to give the message back."""

    queue: str
    entry: str
    holding: str

    def __str__(self) -> str:
        return f"{self.holding}:{self.entry}:{quote(self.queue, safe='')}"

    @classmethod
    def parse(cls, text: str) -> ClaimName:
        holding, entry, queue = text.split(":", 2)
        return cls(unquote(queue), entry, holding)


class DelayedName(NamedTuple):
    """What the name of a delayed message's node tells (its sequence number excepted)."""

    ready_milliseconds: int
    queue: str
    priority: int

    def __str__(self) -> str:
        return (
            f"{self.ready_milliseconds:015d}:{quote(self.queue, safe='')}:"
            f"{HIGHEST_PRIORITY - self.priority:03d}-"
        )

    @classmethod
    def parse(cls, text: str) -> DelayedName:
        when, queue, order = text.split(":", 2)
        return cls(int(when), unquote(queue), HIGHEST_PRIORITY - int(order[:3]))


class Paths:
    """All paths of one virtual host.

    Arguments:
        virtual_host: the part of the URL behind the port, with or without slashes.
    """

    def __init__(self, virtual_host: str) -> None:
        inner = virtual_host.strip("/")
        self.root = f"/{inner}" if inner else ""
        self.home = f"{self.root}/.kombu"
        self.owners = f"{self.home}/owners"
        self.claims = f"{self.home}/claims"
        self.delayed = f"{self.home}/delayed"
        self.exchanges = f"{self.home}/exchanges"
        self.queues = f"{self.home}/queues"
        self.quarantine = f"{self.home}/quarantine"

    def queue(self, name: str) -> str:
        if not name or name in (".", "..", ".kombu") or "/" in name or "\x00" in name:
            raise InvalidName(f"queue name {name!r} can't be the name of a znode")
        return f"{self.root}/{name}"

    def entry(self, queue: str, priority: int) -> str:
        """Prefix of a new entry; the server adds the sequence number."""
        return f"{self.queue(queue)}/{ENTRY_PREFIX}{HIGHEST_PRIORITY - priority:03d}-"

    def declaration(self, queue: str) -> str:
        return f"{self.queues}/{quote(queue, safe='')}"

    @staticmethod
    def binding(routing_key: str, queue: str) -> str:
        """Name of a binding's node below its exchange's."""
        return quote(f"{routing_key}\n{queue}", safe="")

    def exchange(self, name: str) -> str:
        return f"{self.exchanges}/{quote(name, safe='') or '%'}"
