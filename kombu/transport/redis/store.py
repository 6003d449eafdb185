"""The store of leased messages on Redis lists (see ``claim.lua`` for what stands where)."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Hashable, Sequence
from dataclasses import replace

from redis import exceptions

from kombu.transport.features import SHARED_STORE
from kombu.transport.redis.claiming import ClaimVerbs
from kombu.transport.redis.errors import mapped
from kombu.transport.redis.puts import PutVerbs
from kombu.transport.redis.queues import QueueVerbs
from kombu.utils.deadlines import limited

logger = logging.getLogger("kombu.transport.redis")

#: Most seconds that signing off may take.
_LEAVING = 2.0

FEATURES = replace(
    SHARED_STORE,
    queue_expiry=True,
    event_loop=True,
    native=frozenset({"queue_expiry", "delay", "max_length"}),
)


class RedisStore(QueueVerbs, PutVerbs, ClaimVerbs):
    """Messages on lists, leases in the published ``unacked`` keys.

    Arguments:
        server: where the keys live.
        keys: their names.
        options: the transport's options.
    """

    features = FEATURES

    # ---- waking

    def wait(self, queues: Sequence[str], timeout: float | None) -> bool:
        self._check_open()
        with mapped("wait for messages"):
            return self.waker.wait(queues, timeout, self._chore)

    def _chore(self) -> float:
        for chore in self.chores:
            chore()
        return min(self._keep_consumed(), self._look_for_abandoned())

    def _look_for_abandoned(self) -> float:
        """Restore what owners left behind, if it is time to; seconds until it is again."""
        if self.lease is None:
            return 3600.0
        if self.sweep_if_due():
            self.waker.ring()
        return self.restorer.due_in + random.uniform(0, 0.05)

    def interrupt(self) -> None:
        self.waker.interrupt()

    def filenos(self) -> Sequence[int]:
        return self.waker.filenos()

    @property
    def descriptors_version(self) -> Hashable:
        return self.waker.descriptors_version

    def arm(self, queues: Sequence[str]) -> None:
        self._check_open()
        with mapped("wait for messages"):
            self._chore()
            self.waker.arm_descriptors(queues)

    def is_armed(self, queues: Sequence[str]) -> bool:
        if self._closed or (self.lease is not None and self.restorer.is_due):
            return False
        with mapped("wait for messages"):
            self._keep_consumed()
            return self.waker.is_armed(queues)

    def on_readable(self, fileno: int) -> bool:
        self._check_open()
        with mapped("wait for messages"):
            return self.waker.heard()

    # ---- life

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._pid == os.getpid():
            self._leave()
        self.waker.close()
        self._server.close()

    def _leave(self) -> None:
        """Hand over what we watch, if that takes no new connection."""
        registration = self.waker.registration
        if any(node.link.connection is None for node in self._server.nodes()):
            return
        try:
            with limited(_LEAVING):
                registration.resign(list(registration.queues))
        except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as exc:
            logger.debug("could not sign off from the server: %s", type(exc).__name__)
