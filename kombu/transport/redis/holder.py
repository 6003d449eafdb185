"""What all parts of a Redis store share: who it is, where its keys live, what queues demand."""

from __future__ import annotations

import itertools
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from redis import exceptions

from kombu.transport.redis.errors import ERRORS as TABLE
from kombu.transport.redis.keys import Keyspace
from kombu.transport.redis.link import Command
from kombu.transport.redis.options import RedisOptions
from kombu.transport.redis.restore import Restorer, Router
from kombu.transport.redis.server import Server
from kombu.transport.redis.wake import Waker
from kombu.transport.virtual.policy import QueuePolicy
from kombu.transport.virtual.store import Store

#: Milliseconds for which an expired queue's lifetime is still known.
REMEMBERED = 3_600_000

#: Lets a key live for ARGV[1] milliseconds, or for as long as it or its queue's record has yet.
_LIVE_ON = """
local most = tonumber(ARGV[1])
for _, key in ipairs(KEYS) do
  most = math.max(most, redis.call('PTTL', key))
end
return redis.call('PEXPIRE', KEYS[1], most)
"""


class StoreBase(Store):
    """The parts' common ground.

    Arguments:
        server: where the keys live.
        keys: their names.
        options: the transport's options.
    """

    #: Registers an owner as waiting.
    arm_script = "arm"

    def __init__(self, server: Server, keys: Keyspace, options: RedisOptions) -> None:
        self._server, self._keys, self._options = server, keys, options
        self.lease = options.lease_seconds if options.ack_emulation else None
        self.claim_window = options.claim_window
        self._expiry: dict[str, int] = {}
        self._policies: dict[str, QueuePolicy | None] = {}
        self._crowded: set[str] = set()
        self._numbers = itertools.count()
        #: The queues that this client consumes now.
        self.consumed: Callable[[], Iterable[str]] = tuple
        self._kept: set[str] = set()
        self._kept_until = 0.0
        #: Run before each wait, by whoever has something to look after.
        self.chores: list[Callable[[], None]] = []
        #: Arguments of a queue that another client declared, where somebody keeps them.
        self.find_arguments: Callable[[str], Mapping[str, Any] | None] | None = None
        self.find_expiry: Callable[[str], int | None] | None = None
        self._complained: set[str] = set()
        self._closed = False
        self._lock = threading.RLock()
        self._name_owner()
        tick = options.health_check_interval or 25.0
        self.waker = Waker(server, keys, self._current_owner, tick, options.waking, self.arm_script)
        self.restorer = Restorer(server, keys, options)

    # ---- who we are

    def _name_owner(self) -> None:
        self._pid = os.getpid()
        self._owner = f"{uuid.uuid4().hex}-{self._pid}"

    def _current_owner(self) -> str:
        if self._pid != os.getpid():
            self._name_owner()
            self.waker.forget()
        return self._owner

    @property
    def owner(self) -> str:
        """Name of this holder of leases; another one in a forked child."""
        return self._current_owner()

    def use_router(self, router: Router) -> None:
        """How to find the queues of messages that a published peer abandoned."""
        self.restorer.router = router

    def _check_open(self) -> None:
        if self._closed:
            raise TABLE.translate(exceptions.ConnectionError("the store is closed"), "use Redis")

    # ---- what queues demand

    def _policy(self, queue: str) -> QueuePolicy | None:
        """What a queue's arguments demand, as this client or another declared them."""
        if queue in self._policies:
            return self._policies[queue]
        if self.find_arguments is None:
            return None
        return QueuePolicy.of(self.find_arguments(queue))

    def _touch(self, queue: str, expires: int) -> list[Command]:
        """Commands after which a queue lives on for its time from now, or as long as it has yet."""
        record = self._keys.of_queue("queue", queue)
        names = [*self._keys.lists(queue), record]
        return [("EVAL", _LIVE_ON, 2, name, record, expires) for name in names]

    def _keep_consumed(self) -> float:
        """Let queues that expire live on while they are consumed; seconds until it is due again."""
        used = self._expiry.keys() & set(self.consumed()) if self._expiry else set()
        if not used:
            return 3600.0
        now = time.monotonic()
        if now >= self._kept_until or not used <= self._kept:
            # For no less than a lease: at work, a consumer comes by only to renew.
            lease = int(self._options.lease_seconds * 1000)
            lifetimes = {queue: max(self._expiry[queue], lease) for queue in used}
            commands: list[tuple[str, Command]] = []
            for queue, lifetime in lifetimes.items():
                base = self._keys.base(queue)
                commands += [(base, command) for command in self._touch(queue, lifetime)]
                remembered = self._keys.of_queue("expiring", queue)
                commands.append((base, ("PEXPIRE", remembered, lifetime + REMEMBERED)))
            # Should it fail, it is not tried again at once.
            self._kept = used
            self._kept_until = now + min(lifetimes.values()) / 3000
            self._server.pipeline(commands)
        return max(self._kept_until - now, 0.0)

    @staticmethod
    def _strict(replies: list[Any]) -> list[Any]:
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies


def or_none(limit: int | None) -> int:
    """A limit as the scripts take it."""
    return -1 if limit is None else limit
