"""Waking a waiting consumer: by change stream where the server has them, else by backing off."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from pymongo.errors import OperationFailure, PyMongoError

from kombu.transport.mongodb.database import BrokerDatabase

logger = logging.getLogger(__name__)

SHORTEST_PAUSE = 0.001
#: Longest time one getMore stays at the server, so that closing never waits longer.
AWAIT_MILLISECONDS = 1000


class Waker:
    """Tells waiting threads that a claim may succeed.

    Arguments:
        polling_interval: asked before each wait, seconds; the longest pause where the server
            can't tell us, or while its stream is interrupted.
    """

    def __init__(self, broker: BrokerDatabase, polling_interval: Callable[[], float]) -> None:
        self.broker = broker
        self.polling_interval = polling_interval
        self._condition = threading.Condition()
        self._rings = 0
        self._seen = 0
        self._interrupted = False
        self._closed = False
        self._due = float("inf")
        self._pause = SHORTEST_PAUSE
        self._streaming = False
        self._stream_refused = not broker.options.change_streams
        self._watcher: threading.Thread | None = None

    def ring(self) -> None:
        """Something was put or given back."""
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def ring_at(self, unix_time: float) -> None:
        """Something becomes ready then."""
        with self._condition:
            self._due = min(self._due, unix_time)
            self._condition.notify_all()

    def interrupt(self) -> None:
        with self._condition:
            self._interrupted = True
            self._condition.notify_all()

    def wait(self, timeout: float | None) -> bool:
        """Sleep until something may have come; ``False`` on timeout or interruption."""
        self._watch()
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._condition:
            while True:
                if self._interrupted:
                    self._interrupted = False
                    return False
                is_due = self._due <= time.time()
                if is_due:
                    self._due = float("inf")
                if is_due or self._rings != self._seen:
                    self._seen, self._pause = self._rings, SHORTEST_PAUSE
                    return True
                pause = self._until_next_look()
                if deadline is not None:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return False
                    pause = left if pause is None else min(pause, left)
                notified = self._condition.wait(pause)
                due = deadline is not None and time.monotonic() >= deadline
                if not (notified or self._streaming or due):
                    self._pause = min(self._pause * 2, self.polling_interval())
                    return True

    def _until_next_look(self) -> float | None:
        pauses = []
        if self._due < float("inf"):
            pauses.append(max(self._due - time.time(), 0.0))
        if not self._streaming:
            pauses.append(self._pause)
        return min(pauses, default=None)

    # ---- the change stream

    def _watch(self) -> None:
        if self._stream_refused or self._watcher is not None or self._closed:
            return
        self._watcher = threading.Thread(
            target=self._follow, name="kombu-mongodb-wake", daemon=True
        )
        self._watcher.start()

    def _follow(self) -> None:
        pipeline: list[Any] = [
            # Claims and settlements change documents too, but make nothing claimable.
            {
                "$match": {
                    "$or": [
                        {"operationType": "insert"},
                        {"updateDescription.updatedFields.queue": {"$exists": True}},
                    ]
                }
            },
            {"$project": {"_id": 1, "operationType": 1}},
        ]
        while not self._closed:
            try:
                with self.broker.messages.watch(
                    pipeline, max_await_time_ms=AWAIT_MILLISECONDS
                ) as stream:
                    self._set_streaming(True)
                    while stream.alive and not self._closed:
                        if stream.try_next() is not None:
                            self.ring()
            except OperationFailure as exc:
                self._stream_refused = True
                logger.info("no change streams on this server, polling instead: %s", exc)
                return
            except PyMongoError as exc:
                logger.warning("change stream interrupted, polling until it is back: %s", exc)
            finally:
                self._set_streaming(False)
            if not self._closed:
                time.sleep(min(self.polling_interval(), 1.0))

    def _set_streaming(self, streaming: bool) -> None:
        with self._condition:
            self._streaming = streaming
            self._rings += 1  # what came between two streams was told to nobody
            self._condition.notify_all()

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()
