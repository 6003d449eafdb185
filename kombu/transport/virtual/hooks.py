"""The classic hooks a channel may override, and the store that is made of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty
from typing import Any

from kombu.transport.features import Features
from kombu.transport.virtual.store import Claim, Envelope, Put, QueueSpec, Store


class AbstractChannel:
    """The hooks of a virtual channel: what a backend has to do, message by message.

    In-tree transports give a :class:`~.store.Store` instead (``Transport.create_store``),
    and these hooks then are one line into it. A channel that overrides them goes on working,
    with a store or without: verbs call nothing else.

    Every hook may be called from any thread that uses the channel, one call at a time; it
    may block as long as the backend takes, with a limit; it raises one of the transport's
    ``connection_errors`` or ``channel_errors``.
    """

    def _get(self, queue: str, timeout: float | None = None) -> Envelope:
        """Take the next message of ``queue``; raise :class:`queue.Empty` when there is none.

        Arguments:
            timeout: never given by the virtual layer; channels may take one for themselves.
        """
        raise NotImplementedError("Virtual channels must implement _get")

    def _put(self, queue: str, message: Envelope, **kwargs: Any) -> None:
        """Store ``message`` in ``queue``; return once it is safe.

        Arguments:
            kwargs: those of ``basic_publish``; none when a message is put back.
        """
        raise NotImplementedError("Virtual channels must implement _put")

    def _purge(self, queue: str) -> int:
        """Drop the waiting messages of ``queue`` and return their number."""
        raise NotImplementedError("Virtual channels must implement _purge")

    def _size(self, queue: str) -> int:
        """How many messages wait in ``queue``; 0 when it is not known."""
        return 0

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        """Remove ``queue``: called once per binding ``(exchange, routing_key, pattern)``."""
        self._purge(queue)

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        """Make ``queue`` if it is not there.

        Arguments:
            kwargs: ``durable``, ``exclusive``, ``auto_delete``, ``arguments``, ``nowait``.
        """

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        """Whether ``queue`` is there."""
        return True

    def _poll(self, cycle: Any, callback: Callable[..., Any], timeout: float | None = None) -> Any:
        """Deliver one message of the queues in ``cycle``; raise ``Empty`` when there is none."""
        return cycle.get(callback)

    def _get_and_deliver(self, queue: str, callback: Callable[[Envelope, str], Any]) -> None:
        """Take one message of ``queue`` and call ``callback(message, queue)``."""
        callback(self._get(queue), queue)


def overrides(cls: type, base: type, *names: str) -> bool:
    """Whether ``cls`` has a function of its own for one of the hooks of ``base``."""
    return any(getattr(cls, name, None) is not getattr(base, name, None) for name in names)


class MissingHooks(Store):
    """What the hooks of a channel without a store do when they are not overridden."""

    features = Features()

    def declare(self, queue: QueueSpec) -> None:
        return None

    def delete(self, queue: str) -> int:
        return 0

    def exists(self, queue: str) -> bool:
        return True

    def size(self, queue: str) -> int:
        return 0

    def purge(self, queue: str) -> int:
        raise NotImplementedError("Virtual channels must implement _purge")

    def put(self, puts: Sequence[Put]) -> None:
        raise NotImplementedError("Virtual channels must implement _put")

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        raise NotImplementedError("Virtual channels must implement _get")

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        return None

    def wait(self, queues: Sequence[str], timeout: float | None) -> bool:
        return False

    def interrupt(self) -> None:
        return None

    def close(self) -> None:
        return None


class HookStore(Store):
    """A store made of the classic hooks of one channel.

    It holds nothing under lease, since ``_get`` removes: a message that is released is put
    back through ``_put``, at the tail, in order.

    Arguments:
        channel: a virtual channel that overrides the hooks.
        polling_interval: longest pause between two looks, in seconds.
    """

    features = Features(priority=False)

    def __init__(self, channel: Any, polling_interval: float | None = 1.0) -> None:
        self.channel = channel
        self.polling_interval = polling_interval
        self._interrupted = threading.Event()

    def declare(self, queue: QueueSpec) -> None:
        self.channel._new_queue(
            queue.name,
            durable=queue.durable,
            exclusive=queue.exclusive,
            auto_delete=queue.auto_delete,
            arguments=dict(queue.arguments),
        )

    def delete(self, queue: str) -> int:
        size = self.size(queue)
        self.channel._delete(queue, "", queue, None)
        return size

    def exists(self, queue: str) -> bool:
        return bool(self.channel._has_queue(queue))

    def size(self, queue: str) -> int:
        return int(self.channel._size(queue))

    def purge(self, queue: str) -> int:
        return int(self.channel._purge(queue) or 0)

    def put(self, puts: Sequence[Put]) -> None:
        for put in puts:
            self.channel._put(put.queue, put.message)

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        claims: list[Claim] = []
        for queue in queues:
            while len(claims) < limit:
                try:
                    message = self.channel._get(queue)
                except Empty:
                    break
                claims.append(Claim(queue, message, None, bool(message.get("redelivered"))))
        return claims

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        for claim in releases:
            self.channel._put(claim.queue, {**claim.message, "redelivered": True})

    def wait(self, queues: Sequence[str], timeout: float | None) -> bool:
        """Look at the sizes, at first after 1 ms, then ever more rarely."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.001
        while True:
            if any(self.size(queue) for queue in queues):
                return True
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            longest = self.polling_interval or 1.0
            if self._interrupted.wait(min(pause, longest, longest if left is None else left)):
                self._interrupted.clear()
                return False
            pause = min(pause * 2, longest)

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        return None
