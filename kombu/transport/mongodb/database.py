"""The collections of one broker database, made as the published transport makes them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import pymongo
from bson.codec_options import CodecOptions
from pymongo import ASCENDING, MongoClient, ReadPreference
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import (
    AutoReconnect,
    CollectionInvalid,
    ServerSelectionTimeoutError,
    WriteConcernError,
)

from kombu.transport.mongodb.options import MongoOptions
from kombu.transport.serverclock import ServerClock

logger = logging.getLogger(__name__)

Document = dict[str, Any]
Answer = TypeVar("Answer")

#: ShutdownInProgress, PrimarySteppedDown, InterruptedAtShutdown, InterruptedDueToReplStateChange
STEPPING_DOWN = frozenset({91, 189, 11600, 11602})

#: Order in which messages of a queue are delivered; one index serves filter and sort.
DELIVERY_ORDER = [("queue", ASCENDING), ("priority", ASCENDING), ("_id", ASCENDING)]


#: Seconds.
LONGEST_AWAIT = 10.0
CLOSING_LIMIT = 1.0
CLOCK_GOOD_FOR = 300.0


class BrokerDatabase:
    """Collections and clock of one MongoDB database used as a broker.

    Arguments:
        client: connects lazily; closed by :meth:`close`.
        name: of the database.
    """

    def __init__(self, client: MongoClient[Document], name: str, options: MongoOptions) -> None:
        self.client = client
        self.options = options
        self.database: Database[Document] = client.get_database(
            # What a secondary says is what was: candidates of a claim may be taken already.
            name,
            CodecOptions(tz_aware=True),
            ReadPreference.PRIMARY,
        )
        self.messages: Collection[Document] = self.database[options.messages_collection]
        self.routing: Collection[Document] = self.database[options.routing_collection]
        self.queues: Collection[Document] = self.database[options.queues_collection]
        self.exchanges: Collection[Document] = self.database[options.exchanges_collection]
        self.broadcast: Collection[Document] = self.database[options.broadcast_collection]
        self._clock = ServerClock()

    def prepare(self) -> None:
        """Create the capped collection and the indexes; cheap when they are there."""
        with suppress(CollectionInvalid):  # made before, by us or by a published peer
            self.database.create_collection(
                self.options.broadcast_collection,
                capped=True,
                size=self.options.capped_queue_size,
            )
        if self.broadcast.find_one({}, {"_id": 1}) is None:
            # A tailable cursor on an empty collection is dead at once.
            self.broadcast.insert_one({"queue": None, "payload": ""})
        # Spelt as published peers spell it: some servers refuse the same index with other options.
        self.messages.create_index(DELIVERY_ORDER, background=True)
        # No more than this: each index costs every message that is put.
        self.messages.create_index("held.until", sparse=True)
        self.broadcast.create_index("queue")
        self.routing.create_index([("queue", ASCENDING), ("exchange", ASCENDING)])
        self.routing.create_index("exchange")
        if self.options.ttl:
            for collection in (self.messages, self.routing, self.queues):
                collection.create_index("expire_at", expireAfterSeconds=0)

    @staticmethod
    def write(operation: Callable[..., Answer], *args: Any, **options: Any) -> Answer:
        """Write, and once more if a step-down or a cut left open whether it was done.

        For writes that may be done twice, which all of ours may: so the server need not keep
        account of each one, as ``retryWrites`` has it do.
        """
        try:
            return operation(*args, **options)
        except ServerSelectionTimeoutError:
            raise  # it has waited for a primary already
        except AutoReconnect as exc:
            interrupted: Exception = exc
        except WriteConcernError as exc:
            if exc.code not in STEPPING_DOWN:
                raise
            interrupted = exc
        logger.info("writing once more, as the first try was interrupted: %s", interrupted)
        return operation(*args, **options)

    @property
    def await_milliseconds(self) -> int:
        """How long the server may take to say that there is nothing new; idle costs that often."""
        return int(min(LONGEST_AWAIT, self.options.socket_timeout / 2) * 1000)

    def _tell_time(self) -> float:
        return float(self.client.admin.command("hello")["localTime"].timestamp())

    def now(self) -> float:
        """Unix time in seconds by the server's clock, which leases are counted by."""
        if self._clock.age > CLOCK_GOOD_FOR:  # another server may be the primary
            self._clock.ask(self._tell_time)
        return self._clock.now()

    def close(self) -> None:
        with pymongo.timeout(CLOSING_LIMIT):  # taking leave of a server that is not there
            self.client.close()
