"""News of messages: by change stream where the server has them, else by looking."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pymongo.errors import OperationFailure, PyMongoError

from kombu.transport.mongodb.database import BrokerDatabase
from kombu.transport.mongodb.errors import ERRORS
from kombu.transport.waking import Source

logger = logging.getLogger(__name__)

#: Claims and settlements change documents too, but make nothing claimable.
_PIPELINE: list[Any] = [
    {
        "$match": {
            "$or": [
                {"operationType": "insert"},
                {"updateDescription.updatedFields.queue": {"$exists": True}},
            ]
        }
    },
    {
        "$project": {
            "_id": 1,
            "operationType": 1,
            "fullDocument.held.until": 1,
            "fullDocument.queue": 1,
            "updateDescription.updatedFields.queue": 1,
        }
    },
]


def queue_of(event: Mapping[str, Any]) -> Any:
    """The queue in which a message became claimable."""
    inserted = event.get("fullDocument") or {}
    updated = (event.get("updateDescription") or {}).get("updatedFields") or {}
    return inserted.get("queue", updated.get("queue"))


class ChangeStream(Source):
    """Follows the messages in a thread of its own; looks for them while it can't.

    Arguments:
        polling_interval: asked before each look, seconds; the longest pause where the server
            can't tell us, or while its stream is interrupted.
        times_within: called when another client's lease or delay is known to end, with the
            seconds until then.
    """

    def __init__(
        self,
        broker: BrokerDatabase,
        polling_interval: Callable[[], float],
        times_within: Callable[[float], None],
    ) -> None:
        self.broker = broker
        self.polling_interval = polling_interval
        self._times_within = times_within
        self._refused = not broker.options.change_streams
        self._streaming = False
        #: What is waited for; others' messages wake nobody here.
        self._queues: frozenset[str] = frozenset()
        self._follower: threading.Thread | None = None
        self._closed = threading.Event()

    @property
    def longest_pause(self) -> float | None:  # type: ignore[override]
        return None if self._streaming else self.polling_interval()

    def open(self) -> bool:
        if self._follower is None and not self._refused:
            self._follower = threading.Thread(
                target=self._follow, name="kombu-mongodb-wake", daemon=True
            )
            self._follower.start()
        return False

    def look(self, queues: Sequence[str]) -> bool:
        known, self._queues = self._queues, frozenset(queues)
        if self._streaming:
            return not self._queues <= known  # it rings from now on
        with ERRORS.mapped("look for messages"):
            messages = self.broker.messages
            if messages.find_one({"queue": {"$in": list(queues)}}, {"_id": 1}) is not None:
                return True
            held = {"held.until": {"$gt": 0}}
            following = messages.find_one(held, {"held.until": 1}, sort=[("held.until", 1)])
            self._note(following)
        return False

    def _note(self, document: Mapping[str, Any] | None) -> bool:
        """Say when the holding of a message ends; whether it is held."""
        until = ((document or {}).get("held") or {}).get("until")
        if until is None:
            return False
        self._times_within(until - self.broker.now())
        return True

    def _follow(self) -> None:
        while not self._closed.is_set():
            opened = False
            try:
                with self.broker.messages.watch(
                    _PIPELINE, max_await_time_ms=self.broker.await_milliseconds
                ) as stream:
                    opened = True
                    self._set_streaming(True)
                    while stream.alive and not self._closed.is_set():
                        event = stream.try_next()
                        if event is None or self._note(event.get("fullDocument")):
                            continue
                        if queue_of(event) in self._queues:
                            self.ring()
            except PyMongoError as exc:
                # One that was open may come to its end so, too: its past is forgotten, say.
                if isinstance(exc, OperationFailure) and not opened:
                    self._refused = True
                    logger.info("no change streams on this server, polling instead: %s", exc)
                    return
                if not self._closed.is_set():
                    logger.warning("change stream interrupted, polling until it is back: %s", exc)
            finally:
                self._set_streaming(False)
            self._closed.wait(min(self.polling_interval(), 1.0))

    def _set_streaming(self, streaming: bool) -> None:
        self._streaming = streaming
        self.ring()  # what came between two streams was told to nobody

    def close(self) -> None:
        self._closed.set()
