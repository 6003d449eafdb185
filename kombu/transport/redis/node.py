"""One server: its command link, its listener, and waking an owner that waits."""

from __future__ import annotations

import logging
import os
import random
from typing import Any

from redis import exceptions

from kombu.transport.redis.link import Link
from kombu.transport.redis.listener import INVALIDATE, Heard, Listener
from kombu.transport.redis.renewals import Credentials

logger = logging.getLogger("kombu.transport.redis")

#: Seconds over which listeners are replaced when their credentials were renewed.
_SPREAD = 5.0


class Node:
    """A command link and a listener to the same server.

    Arguments:
        pool: where both take their connection from.
    """

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.link = Link(pool)
        self.listener = Listener(pool)
        #: Whether the server tells of changed keys; settled by the first attempt.
        self.tracks = True
        self._tracking: tuple[int, int] | None = None

    def listen(self, *channels: str) -> bool:
        """Have the server announce changed keys to the listener; whether it does.

        Arguments:
            channels: also listened to.
        """
        if not self.tracks:
            return False
        for attempt in (1, 2):
            self.listener.subscribe([INVALIDATE.decode(), *channels])
            if self.is_listening:
                return True
            if self.listener.refusal is not None:
                self._give_up_tracking(self.listener.refusal)
                return False
            try:
                # Without NOLOOP: another thread of ours may wait for what this link puts.
                self.link.call(
                    "CLIENT", "TRACKING", "ON", "REDIRECT", self.listener.client_id, "OPTIN"
                )
            except exceptions.ResponseError as exc:
                if isinstance(exc, exceptions.ReadOnlyError):
                    raise
                if "does not exist" not in str(exc):
                    self._give_up_tracking(exc)
                    return False
                # The listener's connection is gone, or on another server than the link's.
                self.listener.drop()
                if attempt == 2:
                    raise exceptions.ConnectionError("the server changed") from exc
            else:
                self._tracking = (self.link.generation, self.listener.generation)
                return True
        return False

    def _give_up_tracking(self, reason: Exception) -> None:
        self.tracks = False
        logger.warning(
            "the Redis server does not announce changed keys (%s): looking for messages in "
            "intervals of up to a second instead",
            reason,
        )
        self.listener.forget_channels()

    @property
    def is_listening(self) -> bool:
        """Whether what was armed on this server still holds."""
        return (
            self.listener.is_open
            and self.link.connection is not None
            and self._tracking == (self.link.generation, self.listener.generation)
        )

    @property
    def tracking(self) -> tuple[int, int] | None:
        """The two connections that announce changed keys; ``None`` while they don't."""
        return self._tracking if self.is_listening else None

    def hear(self) -> list[Heard]:
        """What arrived on the listener, without blocking."""
        return self.listener.hear()

    def check(self) -> None:
        """Make sure that both connections still answer."""
        self.link.call("PING")
        self.listener.check()

    def renew(self, credentials: Credentials) -> None:
        """Authenticate both connections anew; for any thread (see ``renewals.py``)."""
        self.link.renew(credentials)
        self.listener.retire(random.uniform(0, _SPREAD))

    def close(self) -> None:
        """Close both connections."""
        self.listener.close()
        self.link.close()
        if self.link_is_mine:
            self.pool.disconnect()

    @property
    def link_is_mine(self) -> bool:
        """Whether this process, and not its parent, made the connections."""
        return getattr(self.pool, "pid", os.getpid()) == os.getpid()
