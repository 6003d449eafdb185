"""MongoDB as a store of leased messages.

A waiting message has the field ``queue`` and stands where published peers look for it. A
claimed or delayed one has ``held`` instead: ``{queue, until, receipt}``, a delayed one with
``{delayed, expire_at}`` besides. Nobody finds it by its queue then, and whoever sees ``until``
pass gives it back.
"""

from __future__ import annotations

import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from bson import ObjectId
from pymongo import DeleteMany, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from kombu.transport.features import SHARED_STORE
from kombu.transport.mongodb.database import DELIVERY_ORDER, BrokerDatabase, Document
from kombu.transport.mongodb.errors import ERRORS
from kombu.transport.mongodb.wake import ChangeStream
from kombu.transport.sweeping import Sweep
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.errors import message_too_large
from kombu.transport.virtual.policy import size_of
from kombu.transport.virtual.store import (
    Claim,
    Fanout,
    Put,
    QueueSpec,
    raise_failed,
)
from kombu.transport.waking import Waker, WakerStore
from kombu.utils.json import dumps
from kombu.utils.logfields import log_fields

logger = logging.getLogger(__name__)

DUPLICATE_KEY = 11000
#: Bytes of a message: a document takes 16 MiB, also while it is held and when it comes again.
LARGEST_MESSAGE = 16 * 1024 * 1024 - 16_384
#: How many overdue leases one sweep gives back, so that no claim waits long for it.
SWEEP_LIMIT = 1000
SHORTEST_PAUSE = 0.001
#: What the index of leases and delays finds.
IS_HELD = {"held.until": {"$gt": 0}}
HIGHEST_PRIORITY = 9


class MongoStore(WakerStore):
    """Messages in one collection, claimed by moving them from ``queue`` to ``held``.

    Arguments:
        broker: the database; this store closes it.
        polling_interval: asked before each look at the database, seconds; for a server that
            can't tell us.
    """

    features = SHARED_STORE
    claim_window = 100

    def __init__(
        self, broker: BrokerDatabase, polling_interval: Callable[[], float] = lambda: 1.0
    ) -> None:
        self.broker = broker
        #: Ends of leases and delays.
        self._endings = Sweep()
        self.waker = Waker(
            ChangeStream(broker, polling_interval, self._endings.within), self._endings
        )
        self.lease: float = broker.options.lease
        self.owner = f"{os.getpid()}-{uuid4().hex[:12]}"
        self.fanout: Fanout | None = None
        self._pid = os.getpid()
        self._declared: set[str] = set()

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        if queue.name in self._declared and self._is_declared(queue.name):
            return
        options = {
            "durable": queue.durable,
            "exclusive": queue.exclusive,
            "auto_delete": queue.auto_delete,
            "arguments": dict(queue.arguments),
            "nowait": False,
        }
        changes: Document = {"$set": {"options": options}}
        expires = queue.arguments.get("x-expires")
        with ERRORS.mapped(f"declare queue {queue.name!r}"):
            if self.broker.options.ttl and expires:
                changes["$set"]["expire_at"] = moment(self.broker.now() + expires / 1000)
            self.broker.write(
                self.broker.queues.update_one, {"_id": queue.name}, changes, upsert=True
            )
        self._declared.add(queue.name)

    def _is_declared(self, queue: str) -> bool:
        with ERRORS.mapped(f"look up queue {queue!r}"):
            return self.broker.queues.find_one({"_id": queue}, {"_id": 1}) is not None

    def delete(self, queue: str) -> int:
        self._declared.discard(queue)
        with ERRORS.mapped(f"delete queue {queue!r}"):
            self.broker.write(self.broker.queues.delete_one, {"_id": queue})
            self.broker.routing.delete_many({"queue": queue})  # bound by whomever
            self.broker.messages.delete_many({**IS_HELD, "held.queue": queue})
            gone = self.broker.messages.delete_many({"queue": queue})
        return gone.deleted_count

    def exists(self, queue: str) -> bool:
        with ERRORS.mapped(f"look up queue {queue!r}"):
            return any(
                collection.find_one({field: queue}, {"_id": 1}) is not None
                for collection, field in (
                    (self.broker.queues, "_id"),
                    (self.broker.routing, "queue"),
                    (self.broker.messages, "queue"),
                )
            )

    def size(self, queue: str) -> int:
        with ERRORS.mapped(f"count queue {queue!r}"):
            return self.broker.messages.count_documents({"queue": queue})

    def purge(self, queue: str) -> int:
        with ERRORS.mapped(f"purge queue {queue!r}"):
            return self.broker.messages.delete_many({"queue": queue}).deleted_count

    def body_bytes(self, queue: str) -> int:
        """What published peers wrote tells no size: it counts with its envelope."""
        size = {"$ifNull": ["$size", {"$strLenBytes": "$payload"}]}
        with ERRORS.mapped(f"add up the sizes in queue {queue!r}"):
            sums = self.broker.messages.aggregate(
                [{"$match": {"queue": queue}}, {"$group": {"_id": None, "bytes": {"$sum": size}}}]
            )
            return sum(int(row["bytes"]) for row in sums)

    # ---- messages

    def put(self, puts: Sequence[Put]) -> None:
        failed: dict[int, BaseException] = {}
        with ERRORS.mapped(f"put {len(puts)} message(s)"):
            documents: dict[int, Document] = {}
            for index, put in enumerate(puts):
                document = self._document(put)
                size = len(document["payload"].encode())
                if size > LARGEST_MESSAGE:
                    failed[index] = message_too_large(size, put.queue, LARGEST_MESSAGE, "MongoDB")
                else:
                    documents[index] = document
            failed.update(self._insert(documents))
            raise_failed(puts, failed)
        self.waker.ring()

    def _insert(self, documents: Mapping[int, Document]) -> dict[int, BaseException]:
        """Store documents; the errors of those that are not stored."""
        if not documents:
            return {}
        indices, messages = list(documents), self.broker.messages
        try:
            if len(documents) == 1:
                self.broker.write(messages.insert_one, documents[indices[0]])
            else:
                self.broker.write(messages.insert_many, [*documents.values()], ordered=False)
        except DuplicateKeyError:
            logger.debug("stored by an earlier attempt whose answer was lost")
        except BulkWriteError as exc:
            if exc.details["writeConcernErrors"]:
                raise  # stored by fewer than a majority: any of them may be undone
            # A duplicate is our own earlier attempt.
            failures = [e for e in exc.details["writeErrors"] if e["code"] != DUPLICATE_KEY]
            return {indices[failure["index"]]: exc for failure in failures}
        return {}

    def _document(self, put: Put) -> Document:
        document: Document = {
            "_id": ObjectId(),
            "payload": dumps(put.message),
            "priority": HIGHEST_PRIORITY - put.priority,
            "size": size_of(put.message),
        }
        expiry = None
        if self.broker.options.ttl and put.expires_at:
            expiry = moment(self.broker.now() + put.expires_at - time.time())
        if put.ready_at is not None and put.ready_at > time.time():
            delay = put.ready_at - time.time()
            document["held"] = {
                "queue": put.queue,
                "until": self.broker.now() + delay,
                "receipt": None,
                "delayed": put.queue,
                "expire_at": expiry,
            }
            self._endings.within(delay)
        else:
            document["queue"] = put.queue
            if expiry is not None:
                document["expire_at"] = expiry
        return document

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        self._endings.run(self._end)
        claims: list[Claim] = []
        with ERRORS.mapped("claim messages"):
            for queue in queues:
                if len(claims) >= limit:
                    break
                claims.extend(self._claim_from(queue, limit - len(claims)))
        return claims

    def _claim_from(self, queue: str, limit: int) -> list[Claim]:
        # What others were faster at, or what is no message, is not all there is: no event would
        # tell of the rest.
        while found := list(
            self.broker.messages.find({"queue": queue}).sort(DELIVERY_ORDER).limit(limit)
        ):
            if claims := self._take(queue, found):
                return claims
        return []

    def _take(self, queue: str, found: list[Document]) -> list[Claim]:
        """Claims on those of the documents that nobody else has taken meanwhile."""
        messages = self.broker.messages
        receipt = f"{self.owner}-{uuid4().hex[:12]}"
        taken = messages.update_many(
            {"_id": {"$in": [document["_id"] for document in found]}, "queue": queue},
            {
                "$set": {
                    "held": {
                        "queue": queue,
                        "until": self.broker.now() + self.lease,
                        "receipt": receipt,
                    }
                },
                "$unset": {"queue": "", "expire_at": ""},
                "$inc": {"deliveries": 1},
            },
        )
        if taken.modified_count < len(found):  # others were at the same messages
            asked = {"_id": {"$in": [d["_id"] for d in found]}, "held.receipt": receipt}
            ours = {document["_id"] for document in messages.find(asked, {"_id": 1})}
            found = [document for document in found if document["_id"] in ours]
        claims = (self._to_claim(queue, document, receipt) for document in found)
        return [claim for claim in claims if claim is not None]

    def _to_claim(self, queue: str, document: Document, receipt: str) -> Claim | None:
        message = parse(document.get("payload"))
        if message is None:
            self._quarantine(queue, document)
            return None
        return Claim(
            queue,
            message,
            (document["_id"], receipt, document.get("priority"), document.get("expire_at")),
            redelivered=bool(message.get("redelivered")),
            deliveries=document.get("deliveries", 0),
        )

    def _quarantine(self, queue: str, document: Document) -> None:
        """Keep what is no message of ours, where no consumer meets it again."""
        self.broker.messages.update_one(
            {"_id": document["_id"]}, {"$set": {"quarantined": queue}, "$unset": {"held": ""}}
        )
        logger.error(
            "document %s in queue %r is no message: set aside, field 'quarantined' names the queue",
            document["_id"],
            queue,
            extra=log_fields(queue=queue, reason="quarantined"),
        )

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        writes: list[Any] = [
            DeleteMany({"_id": {"$in": identifiers}, "held.receipt": receipt})
            for receipt, identifiers in by_receipt([*acks, *rejects]).items()
        ]
        writes += [self._give_back(claim) for claim in releases]
        if not writes:
            return
        with ERRORS.mapped(f"settle {len(acks) + len(releases) + len(rejects)} message(s)"):
            self.broker.write(self.broker.messages.bulk_write, writes, ordered=False)
        if releases:
            self.waker.ring()

    @staticmethod
    def _give_back(claim: Claim) -> UpdateOne:
        identifier, receipt, _priority, expire_at = claim.receipt
        changes: Document = {
            "queue": claim.queue,
            "payload": dumps({**claim.message, "redelivered": True}),
        }
        if expire_at is not None:
            changes["expire_at"] = expire_at
        return UpdateOne(
            {"_id": identifier, "held.receipt": receipt}, {"$set": changes, "$unset": {"held": ""}}
        )

    def renew(self, claims: Sequence[Claim]) -> None:
        with ERRORS.mapped(f"renew {len(claims)} lease(s)"):
            until = self.broker.now() + self.lease
            for receipt, identifiers in by_receipt(claims).items():
                self.broker.messages.update_many(
                    {"_id": {"$in": identifiers}, "held.receipt": receipt},
                    {"$set": {"held.until": until}},
                )

    # ---- leases that ran out, delays that ended

    def _end(self) -> float:
        """Give back what leases have run out and delays have ended; seconds until the next."""
        with ERRORS.mapped("give back what leases have run out"):
            now = self.broker.now()
            overdue = list(
                self.broker.messages.find({"held.until": {"$lte": now}}).limit(SWEEP_LIMIT)
            )
            if overdue:
                writes = [self._revive(document) for document in overdue]
                self.broker.messages.bulk_write(writes, ordered=False)
                if len(overdue) == SWEEP_LIMIT:
                    return 0.0
            upcoming = self.broker.messages.find_one(
                {"held.until": {"$gt": now}}, {"held.until": 1}, sort=[("held.until", 1)]
            )
        longest = self.lease / 3
        if upcoming is None:
            return longest
        return min(longest, max(float(upcoming["held"]["until"]) - now, SHORTEST_PAUSE))

    @staticmethod
    def _revive(document: Document) -> UpdateOne:
        held = document["held"]
        changes: Document = {"queue": held["queue"]}
        if held.get("expire_at") is not None:
            changes["expire_at"] = held["expire_at"]
        message = parse(document.get("payload"))
        if held["receipt"] is not None and message is not None:
            changes["payload"] = dumps({**message, "redelivered": True})
        return UpdateOne(
            {"_id": document["_id"], "held.receipt": held["receipt"], "held.until": held["until"]},
            {"$set": changes, "$unset": {"held": ""}},
        )

    # ---- life

    def close(self) -> None:
        if os.getpid() != self._pid:
            return
        self.waker.close()
        if self.fanout is not None:
            self.fanout.close()
        self.broker.close()


def moment(unix_time: float) -> datetime:
    return datetime.fromtimestamp(unix_time, timezone.utc)


def by_receipt(claims: Iterable[Claim]) -> dict[str, list[ObjectId]]:
    """Claims of one batch share a receipt, so that one write settles them."""
    groups: dict[str, list[ObjectId]] = defaultdict(list)
    for claim in claims:
        identifier, receipt, *_rest = claim.receipt
        groups[receipt].append(identifier)
    return groups
