"""Fanout over the capped broadcast collection, as published peers write and read it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId
from pymongo import CursorType
from pymongo.cursor import Cursor
from pymongo.errors import DuplicateKeyError, PyMongoError

from kombu.transport.mongodb.database import BrokerDatabase, Document
from kombu.transport.mongodb.errors import ERRORS
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.store import Envelope, Fanout
from kombu.transport.waking import Waker
from kombu.utils.json import dumps

logger = logging.getLogger(__name__)

RECENT = 10_000
#: Seconds between two cursors: the longer the sooner they end.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 5.0


@dataclass
class Subscription:
    """One queue that hears an exchange, from the document ``after`` on (None: from now)."""

    exchange: str
    after: ObjectId | None
    arrived: deque[Envelope] = field(default_factory=deque)


class MongoFanout(Fanout):
    """One thread tails the broadcast collection for all subscriptions of a connection."""

    def __init__(self, broker: BrokerDatabase, waker: Waker) -> None:
        self.broker = broker
        self.waker = waker
        self._subscriptions: dict[str, Subscription] = {}
        self._lock = threading.Lock()
        self._last: ObjectId | None = None
        self._recent: deque[ObjectId] = deque(maxlen=RECENT)
        self._follower: threading.Thread | None = None
        self._closed = threading.Event()

    def publish(self, exchange: str, routing_key: str, message: Envelope) -> int | None:
        with ERRORS.mapped(f"publish to fanout exchange {exchange!r}"):
            document = {"_id": ObjectId(), "payload": dumps(message), "queue": exchange}
            with suppress(DuplicateKeyError):  # stored by a try whose answer was lost
                self.broker.write(self.broker.broadcast.insert_one, document)
        return None

    def subscribe(self, exchange: str, queue: str, routing_key: str) -> None:
        with ERRORS.mapped(f"subscribe queue {queue!r} to exchange {exchange!r}"):
            newest = self.broker.broadcast.find_one({}, {"_id": 1}, sort=[("$natural", -1)])
        after = None if newest is None else newest["_id"]
        with self._lock:
            if queue in self._subscriptions:
                return
            if self._follower is None:
                self._last = after
            if after == self._last or after in self._recent:
                after = None
            self._subscriptions[queue] = Subscription(exchange, after)
            if self._follower is None:
                self._follower = threading.Thread(
                    target=self._follow, name="kombu-mongodb-fanout", daemon=True
                )
                self._follower.start()

    def unsubscribe(self, queue: str) -> None:
        with self._lock:
            self._subscriptions.pop(queue, None)

    def pump(self, deliver: Callable[[str, Envelope], None]) -> int:
        count = 0
        with self._lock:
            waiting = [(queue, sub) for queue, sub in self._subscriptions.items() if sub.arrived]
        for queue, subscription in waiting:
            while subscription.arrived:
                deliver(queue, subscription.arrived.popleft())
                count += 1
        return count

    # ---- the thread that reads

    def _follow(self) -> None:
        pause = SHORTEST_PAUSE
        while not self._closed.is_set():
            begun = time.monotonic()
            try:
                self._read(self._open())
            except PyMongoError as exc:
                if not self._closed.is_set():
                    logger.warning("fanout cursor interrupted, opening it again: %s", exc)
            lasted = time.monotonic() - begun
            pause = SHORTEST_PAUSE if lasted > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
            self._closed.wait(pause)

    def _open(self) -> Cursor[Any]:
        cursor: Cursor[Any] = self.broker.broadcast.find(cursor_type=CursorType.TAILABLE_AWAIT)
        cursor.max_await_time_ms(self.broker.await_milliseconds)
        return cursor

    def _read(self, cursor: Cursor[Any]) -> None:
        """Hand out what follows the last document seen; all of it when that one is gone."""
        last = self._last
        seeking, looked = last is not None, False
        with cursor:
            while cursor.alive and not self._closed.is_set():
                document = next(cursor, None)
                if document is None:
                    continue
                if seeking and not looked:
                    # Should it roll out from now on, so does the place where the cursor stands.
                    looked, seeking = True, self._is_there(last)
                    if not seeking:
                        self._begin_at_the_oldest()
                if not seeking:
                    self._hand_out(document)
                elif document["_id"] == last:
                    seeking = False

    def _is_there(self, identifier: ObjectId | None) -> bool:
        return self.broker.broadcast.find_one({"_id": identifier}, {"_id": 1}) is not None

    def _begin_at_the_oldest(self) -> None:
        """The last document seen rolled out, and so may have the first ones of subscriptions."""
        with self._lock:
            waiting = [sub for sub in self._subscriptions.values() if sub.after is not None]
        for subscription in waiting:
            if not self._is_there(subscription.after):
                subscription.after = None

    def _hand_out(self, document: Document) -> None:
        with self._lock:
            self._last = document["_id"]
            self._recent.append(document["_id"])
            message = None
            for subscription in self._subscriptions.values():
                if subscription.after is not None:
                    if subscription.after == document["_id"]:
                        subscription.after = None
                    continue
                if subscription.exchange != document.get("queue"):
                    continue
                message = parse(document.get("payload"))
                if message is None:
                    logger.error("broadcast document %s is no message", document["_id"])
                    break
                subscription.arrived.append(message)
        if message is not None:
            self.waker.ring()

    def close(self) -> None:
        self._closed.set()
