"""ZooKeeper as a store of leased messages.

A claim moves an entry, in one transaction, to below its owner's name; the owner is an
ephemeral node. When a session ends, whoever notices moves that owner's claims back under
their old names, which is their old place in the order.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kazoo.exceptions import KazooException, NodeExistsError, NoNodeError

from kombu.transport.features import SHARED_STORE
from kombu.transport.sweeping import Sweep
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.errors import message_too_large
from kombu.transport.virtual.store import (
    Claim,
    Envelope,
    Put,
    QueueSpec,
    raise_failed,
)
from kombu.transport.waking import Looking, Waker, WakerStore
from kombu.transport.zookeeper.errors import ERRORS
from kombu.transport.zookeeper.listing import Listing
from kombu.transport.zookeeper.moves import Move, Moves
from kombu.transport.zookeeper.paths import ENTRY_PREFIX, ClaimName, DelayedName, Paths
from kombu.transport.zookeeper.session import Session
from kombu.utils.json import dumps
from kombu.utils.logfields import log_fields

logger = logging.getLogger(__name__)

#: The server refuses a request above this (``jute.maxbuffer``), less what is not the message.
LARGEST_MESSAGE = 1_048_575 - 4_096


class ZookeeperStore(WakerStore):
    """Messages as znodes.

    Arguments:
        session: started; this store stops it.
    """

    features = replace(
        SHARED_STORE,
        max_length_bytes=False,
    )
    claim_window = 100

    def __init__(self, session: Session) -> None:
        self.session = session
        self.paths: Paths = session.paths
        #: Owners that may have died, and messages whose delay has ended.
        self._orphans = Sweep()
        self._delays = Sweep()
        self.waker = Waker(Looking(self._has_entries), self._orphans, self._delays)
        self._pid = os.getpid()
        self._listings: dict[str, Listing] = {}
        self._holdings = itertools.count()
        self._claiming = Moves(session)
        self._settling = Moves(session)
        self._claim_lock = threading.Lock()
        #: Receipts that were given out and are not settled.
        self._held: set[str] = set()
        #: Whether a claim failed, perhaps after it had taken something.
        self._unsure = False
        session.on_change = self.waker.ring

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        arguments = dumps(dict(queue.arguments)).encode()
        with ERRORS.mapped(f"declare queue {queue.name!r}"):
            self.session.create(self.paths.queue(queue.name))
            path = self.paths.declaration(queue.name)
            if not self.session.create(path, arguments):
                self.session.call(self.session.client.set_async(path, arguments))

    def delete(self, queue: str) -> int:
        self._listings.pop(queue, None)
        with ERRORS.mapped(f"delete queue {queue!r}"):
            self.session.outcome(self.session.client.delete_async(self.paths.declaration(queue)))
            pending = [
                self.session.client.delete_async(f"{self.paths.delayed}/{name}")
                for name in self.session.children(self.paths.delayed)
                if DelayedName.parse(name).queue == queue
            ]
            pending += [self.session.client.delete_async(path) for path in self._bindings(queue)]
            for result in pending:
                self.session.outcome(result)
            return self.session.delete_tree(self.paths.queue(queue))

    def _bindings(self, queue: str) -> list[str]:
        """Nodes of a queue's bindings, made by whomever."""
        folders = [
            f"{self.paths.exchanges}/{exchange}"
            for exchange in self.session.children(self.paths.exchanges)
        ]
        end = self.paths.binding("", queue)
        return [
            f"{folder}/{name}"
            for folder in folders
            for name in self.session.children(folder)
            if name.endswith(end)
        ]

    def exists(self, queue: str) -> bool:
        with ERRORS.mapped(f"look up queue {queue!r}"):
            found = self.session.client.exists_async(self.paths.queue(queue))
            return self.session.call(found) is not None

    def size(self, queue: str) -> int:
        with ERRORS.mapped(f"count queue {queue!r}"):
            found = self.session.client.exists_async(self.paths.queue(queue))
            stat = self.session.call(found)
        return 0 if stat is None else int(stat.children_count)

    def purge(self, queue: str) -> int:
        path = self.paths.queue(queue)
        with ERRORS.mapped(f"purge queue {queue!r}"):
            pending = [
                self.session.client.delete_async(f"{path}/{name}")
                for name in self.session.children(path)
            ]
            return sum(not isinstance(self.session.outcome(one), Exception) for one in pending)

    # ---- messages

    def put(self, puts: Sequence[Put]) -> None:
        data = [dumps(put.message).encode() for put in puts]
        failed: dict[int, BaseException] = {
            index: message_too_large(len(text), puts[index].queue, LARGEST_MESSAGE, "ZooKeeper")
            for index, text in enumerate(data)
            if len(text) > LARGEST_MESSAGE
        }
        with ERRORS.mapped(f"put {len(puts)} message(s)"):
            # One session's requests are carried out in order, so that they needn't be waited
            # for one by one.
            pending = {
                index: self._create(put, data[index])
                for index, put in enumerate(puts)
                if index not in failed
            }
            for index, result in pending.items():
                try:
                    self._finish(puts[index], data[index], result)
                except KazooException as exc:
                    failed[index] = exc
            raise_failed(puts, failed)

    def _create(self, put: Put, data: bytes) -> Any:
        if put.ready_at is not None and put.ready_at > time.time():
            name = DelayedName(int(put.ready_at * 1000), put.queue, put.priority)
            path = f"{self.paths.delayed}/{name}"
        else:
            path = self.paths.entry(put.queue, put.priority)
        return self.session.client.create_async(path, data, sequence=True)

    def _finish(self, put: Put, data: bytes, pending: Any) -> None:
        try:
            self.session.call(pending)
        except NoNodeError:
            self.session.create(self.paths.queue(put.queue))
            self.session.call(self._create(put, data))

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        claims: list[Claim] = []
        with ERRORS.mapped("claim messages"), self._claim_lock:
            try:
                if self._unsure:
                    self._give_back_unclaimed()
                self._orphans.run(self._restore_orphans)
                self._delays.run(self._release_delayed)
                for queue in queues:
                    while len(claims) < limit:
                        names = self._listing(queue).take(limit - len(claims))
                        if not names:
                            break
                        claims += self._claim_entries(queue, names)
            except BaseException:
                self._unsure = True
                raise
            self._held.update(claim.receipt for claim in claims)
        return claims

    def _give_back_unclaimed(self) -> None:
        """What a claim took before it failed: nobody knows of it, and its owner lives."""
        if owner := self.session.owner:
            folder = f"{self.paths.claims}/{owner}"
            paths = [f"{folder}/{name}" for name in sorted(self.session.children(folder))]
            self._restore_all([path for path in paths if path not in self._held])
        self._unsure = False

    def _listing(self, queue: str) -> Listing:
        listing = self._listings.get(queue)
        if listing is None:
            listing = Listing(self.session, self.paths.queue(queue), self.waker.ring)
            self._listings[queue] = listing
        return listing

    def _claim_entries(self, queue: str, names: list[str]) -> list[Claim]:
        client, source = self.session.client, self.paths.queue(queue)
        owner = self.session.ensure_owner()
        reads = [client.get_async(f"{source}/{name}") for name in names]
        moves: list[Move] = []
        for name, read in zip(names, reads, strict=True):
            found = self.session.outcome(read)
            if isinstance(found, Exception):
                continue  # another consumer has it
            held_as = ClaimName(queue, name, f"{next(self._holdings):x}")
            path = f"{self.paths.claims}/{owner}/{held_as}"
            moves.append(Move(f"{source}/{name}", path, found[0]))
        if not moves:
            return []
        ours = zip(moves, self._claiming.carry_out(moves), strict=True)
        claims = (self._to_claim(queue, str(each.target), each.data) for each, done in ours if done)
        return [claim for claim in claims if claim is not None]

    def _move(self, source: str, target: str, data: bytes) -> Any:
        transaction = self.session.client.transaction()
        transaction.delete(source)
        transaction.create(target, data)
        return transaction.commit_async()

    def _to_claim(self, queue: str, path: str, data: bytes) -> Claim | None:
        message = parse(data)
        if message is None:
            name = path.rpartition("/")[2]
            self.session.call(self._move(path, f"{self.paths.quarantine}/{name}", data))
            logger.error(
                "entry %s of queue %r is no message: moved to quarantine", name, queue,
                extra=log_fields(queue=queue, reason="quarantined"),
            )  # fmt: skip
            return None
        deliveries = message.pop("deliveries", 0)
        return Claim(queue, message, path, bool(message.get("redelivered")), deliveries)

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        with ERRORS.mapped(f"settle {len(acks) + len(releases) + len(rejects)} message(s)"):
            pending = [
                self._give_back(claim.receipt, claim.message, claim.deliveries)
                for claim in releases
            ]
            if done := [Move(claim.receipt, None, b"") for claim in (*acks, *rejects)]:
                self._settling.carry_out(done)
            for each in pending:
                self._see_to(*each)
        self._held.difference_update(claim.receipt for claim in (*acks, *releases, *rejects))
        if releases:
            self.waker.ring()

    def _give_back(self, path: str, message: Envelope, deliveries: int) -> tuple[Move, Any]:
        """Begin to move a claimed message back to its old place."""
        claim = ClaimName.parse(path.rpartition("/")[2])
        text = dumps({**message, "redelivered": True, "deliveries": deliveries + 1})
        if claim.queue in self._listings:
            self._listings[claim.queue].start_over()
        place = f"{self.paths.queue(claim.queue)}/{claim.entry}"
        move = Move(path, place, text.encode())
        return move, self._move(path, place, move.data)

    def _see_to(self, move: Move, pending: Any) -> None:
        """Wait until a message is back; it must not stay where nobody looks for it."""
        _, created = self.session.call(pending)
        if isinstance(created, NoNodeError):  # the queue was deleted, and its messages with it
            self.session.outcome(self.session.client.delete_async(move.source))
        elif isinstance(created, NodeExistsError):  # deleted and made anew, and its numbers, too
            assert move.target is not None
            transaction = self.session.client.transaction()
            transaction.delete(move.source)
            head = move.target[: move.target.rindex(ENTRY_PREFIX) + len(ENTRY_PREFIX) + 4]
            transaction.create(head, move.data, sequence=True)
            self.session.call(transaction.commit_async())

    # ---- owners that died, delays that ended

    def _owners_changed(self, event: Any) -> None:
        self._orphans.within(0)

    def _delayed_changed(self, event: Any) -> None:
        self._delays.within(0)

    def _restore_orphans(self) -> float:
        """Give back what dead owners hold; ``inf``, for a watch tells when there are others."""
        # Claims first: an owner that appears between the two look-ups is then not missed.
        claiming = self.session.children(self.paths.claims)
        living = set(self.session.children(self.paths.owners, watch=self._owners_changed))
        for owner in sorted(set(claiming) - living):
            folder = f"{self.paths.claims}/{owner}"
            names = self.session.children(folder)
            self._restore_all([f"{folder}/{name}" for name in sorted(names)])
            if not self.session.children(folder):
                self.session.outcome(self.session.client.delete_async(folder))
        return float("inf")

    def _restore_all(self, paths: Sequence[str]) -> None:
        for each in filter(None, [self._restore(path) for path in paths]):
            self._see_to(*each)

    def _restore(self, path: str) -> tuple[Move, Any] | None:
        data = self.session.read(path)
        message = parse(data)
        if message is None:
            return None
        return self._give_back(path, message, message.pop("deliveries", 0))

    def _release_delayed(self) -> float:
        """Put into their queues what is due; seconds until the next is."""
        now = time.time() * 1000
        for name in sorted(self.session.children(self.paths.delayed, watch=self._delayed_changed)):
            delayed = DelayedName.parse(name)
            if delayed.ready_milliseconds > now:
                return (delayed.ready_milliseconds - now) / 1000
            path = f"{self.paths.delayed}/{name}"
            data = self.session.read(path)
            if data is None:
                continue
            if isinstance(self._release(path, delayed, data), NoNodeError):
                self.session.create(self.paths.queue(delayed.queue))  # as put does
                self._release(path, delayed, data)
        return float("inf")

    def _release(self, path: str, delayed: DelayedName, data: bytes) -> Any:
        """Put a delayed message into its queue; its name there, or why it is not."""
        transaction = self.session.client.transaction()
        transaction.delete(path)
        transaction.create(self.paths.entry(delayed.queue, delayed.priority), data, sequence=True)
        return self.session.call(transaction.commit_async())[1]

    # ---- life

    def _has_entries(self, queues: Sequence[str]) -> bool:
        return any(self._listing(queue).may_have_entries for queue in queues)

    def close(self) -> None:
        if os.getpid() != self._pid:
            return
        self.session.stop()
        self.waker.close()
