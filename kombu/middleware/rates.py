"""No more messages in a second than are wanted."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from kombu.exceptions import OperationalError
from kombu.middleware.chain import Middleware
from kombu.middleware.events import Delivery, Publishing

__all__ = ("RateLimit", "RateLimitExceeded", "TokenBucket")


class RateLimitExceeded(OperationalError):
    """A message was not published, as its turn would not have come in time."""


class TokenBucket:
    """Hands out turns: ``rate`` a second, and up to ``burst`` at once after a rest.

    Safe for use by threads; those that wait get their turns in order.

    Arguments:
        rate: turns a second.
        burst: most turns that are saved up.
        clock: seconds, monotonic.
    """

    def __init__(
        self, rate: float, burst: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not rate > 0:
            raise ValueError(f"a rate must be above 0, not {rate!r}")
        if burst < 1:
            raise ValueError(f"a burst must be at least 1, not {burst!r}")
        self.rate = rate
        self.burst = burst
        self.clock = clock
        self._lock = threading.Lock()
        self._tokens = float(burst)
        self._at = clock()

    def take(self, max_wait: float) -> float | None:
        """Take the next turn; seconds until it comes.

        Arguments:
            max_wait: most seconds; when it comes later, none is taken: ``None``.
        """
        with self._lock:
            now = self.clock()
            tokens = min(float(self.burst), self._tokens + (now - self._at) * self.rate) - 1
            wait = max(0.0, -tokens / self.rate)
            if wait > max_wait:
                return None
            self._tokens, self._at = tokens, now
            return wait


class RateLimit(Middleware):
    """Limits how many messages are published, and how many are handled, in a second.

    A publish waits for its turn; if that comes too late, it raises. Handling waits within the
    delivery: the message is held (its lease is renewed meanwhile), and other messages of the
    connection wait with it, for at most ``threads / handle`` seconds. With AMQP's heartbeats
    that has to be less than their interval.

    One instance is one limit, for all connections and threads that have it in their chains.

    Arguments:
        publish: messages published a second; ``None`` is no limit.
        handle: messages handled a second; ``None`` is no limit.
        burst: how many may come at once after a rest.
        max_wait: most seconds that a publish waits.
        clock, sleep: for tests.
    """

    def __init__(
        self,
        publish: float | None = None,
        handle: float | None = None,
        burst: int = 1,
        max_wait: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._publishing = None if publish is None else TokenBucket(publish, burst, clock)
        self._handling = None if handle is None else TokenBucket(handle, burst, clock)
        self.max_wait = max_wait
        self._sleep = sleep

    def on_publish(self, publishing: Publishing, proceed: Callable[[Publishing], Any]) -> Any:
        if self._publishing is not None and not self._await(self._publishing, self.max_wait):
            raise RateLimitExceeded(
                f"not published: {self._publishing.rate:g} messages a second are allowed, and "
                f"the next turn is more than {self.max_wait:g} seconds away"
            )
        return proceed(publishing)

    def on_deliver(self, delivery: Delivery, proceed: Callable[[Delivery], Any]) -> Any:
        if self._handling is not None:
            self._await(self._handling, math.inf)
        return proceed(delivery)

    def _await(self, bucket: TokenBucket, max_wait: float) -> bool:
        """Wait for a turn; whether there was one."""
        wait = bucket.take(max_wait)
        if wait:
            self._sleep(wait)
        return wait is not None
