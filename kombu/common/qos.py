"""A prefetch limit that many threads change and one tells the broker."""

from __future__ import annotations

import threading
from collections.abc import Callable

from kombu.log import get_logger

logger = get_logger(__name__)

#: the field of basic.qos is an unsigned 16-bit number (AMQP 0-9-1, basic.qos)
PREFETCH_COUNT_MAX = 0xFFFF


class QoS:
    """A prefetch count. Thread-safe.

    Changes are gathered by :meth:`increment_eventually` and :meth:`decrement_eventually` in any
    thread, and sent by :meth:`update` in the one that uses the channel.

    Arguments:
        callback: called with ``prefetch_count=`` to tell the broker.
        initial_value: messages; 0 is no limit, and then stays so.
        max_prefetch: the count never grows beyond; ``None`` is no bound.
    """

    #: the count last told to the broker
    prev: int | None = None

    def __init__(
        self,
        callback: Callable[..., object],
        initial_value: int | None,
        max_prefetch: int | None = None,
    ) -> None:
        self.callback = callback
        self.value = initial_value or 0
        self.max_prefetch = max_prefetch
        self._mutex = threading.RLock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: value={self.value} told={self.prev}>"

    def increment_eventually(self, n: int = 1) -> int:
        """Raise the count by ``n``, at the next :meth:`update`.

        Returns:
            the count from then on.
        """
        with self._mutex:
            if self.value and n > 0:
                self.value += n
            if self.max_prefetch and n > 0:
                self.value = min(self.value, self.max_prefetch)
            return self.value

    def decrement_eventually(self, n: int = 1) -> int:
        """Lower the count by ``n``, never below 1, at the next :meth:`update`.

        Returns:
            the count from then on.
        """
        with self._mutex:
            if self.value:
                self.value = max(self.value - n, 1)
            return self.value

    def set(self, pcount: int) -> int:
        """Tell the broker a count, unless it is what it was told last.

        Arguments:
            pcount: messages; more than :data:`PREFETCH_COUNT_MAX` is sent as 0, no limit.
        """
        with self._mutex:
            if pcount != self.prev:
                told = pcount
                if pcount > PREFETCH_COUNT_MAX:
                    logger.warning(
                        "prefetch count %d is more than %d and sent as 0, no limit",
                        pcount,
                        PREFETCH_COUNT_MAX,
                    )
                    told = 0
                logger.debug("basic.qos: prefetch_count->%d", told)
                self.callback(prefetch_count=told)
                self.prev = pcount
            return pcount

    def update(self) -> int:
        """Tell the broker the count as it is now."""
        with self._mutex:
            return self.set(self.value)
