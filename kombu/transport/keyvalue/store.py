"""A key-value server as a store of leased messages."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from kombu.transport.features import SHARED_STORE, Features
from kombu.transport.http import Server, ServerError
from kombu.transport.keyvalue.backlog import LISTING_SHARE, Backlog, Waiting, with_priority
from kombu.transport.keyvalue.claims import Claims, Held, Holding
from kombu.transport.keyvalue.errors import ERRORS
from kombu.transport.keyvalue.layout import (
    BINDINGS,
    CLAIMS,
    DELAYED,
    LIVE,
    OWNERS,
    DelayedName,
    begins_at,
    declaration_key,
    quarantine_key,
)
from kombu.transport.keyvalue.owner import Owner
from kombu.transport.keyvalue.port import KeyValue, Stored
from kombu.transport.keyvalue.watching import Watches
from kombu.transport.sweeping import Sweep
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.store import Claim, PartialPutError, Put, QueueSpec
from kombu.transport.waking import Waker, WakerStore
from kombu.transport.windows import windows
from kombu.utils.json import dumps, loads

logger = logging.getLogger(__name__)

#: Seconds after which a queue is tried again that a published peer is reading.
_WHILE_READ = 0.05
#: Seconds for which a purge waits for peers that do.
_PATIENCE = 5.0

#: Parts of a stored message that are this store's own.
_OURS = frozenset({"deliveries", "priority"})


class MessageTooLarge(ValueError):
    """A message does not fit into a key."""


class KeyValueStore(WakerStore):
    """Messages as keys; claimed by a record under an owner that lives as long as its lease.

    Arguments:
        keys: the server; closed with this store.
        server: the same, for long polls.
        lease: seconds a dead consumer's messages are held back.
        features: where the server can do less, or more.
    """

    features = replace(
        SHARED_STORE,
        max_length_bytes=False,
        event_loop=True,
    )
    claim_window = 50

    def __init__(
        self, keys: KeyValue, server: Server, lease: float, features: Features | None = None
    ) -> None:
        self.features = features or type(self).features
        self.keys = keys
        self.lease = lease
        self.owner = Owner(keys, lease)
        self.claims = Claims(keys, self.owner)
        self.sweeping = Sweep()
        self.retry = Sweep()
        self._pid = os.getpid()
        self._backlogs: dict[str, Backlog] = {}
        self._claiming = threading.Lock()
        self._live_index: int | None = None
        self._sweep_took = 0.0
        source = Watches(
            keys, server, self._backlog, lambda: self._live_index, self._owners_or_delays
        )
        self.waker = Waker(source, self.sweeping, self.retry)

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        with ERRORS.mapped(f"declare queue {queue.name!r}"):
            self.keys.declare(queue.name)
            self.keys.write(declaration_key(queue.name), dumps(dict(queue.arguments)))

    def delete(self, queue: str) -> int:
        with ERRORS.mapped(f"delete queue {queue!r}"):
            count = len(self.keys.list(self.keys.queue_folder(queue)).stored)
            self.keys.delete_queue(queue)
            self.keys.delete(declaration_key(queue))
            for folder, stored in self._delayed():
                if DelayedName.parse(stored.name).queue == queue:
                    self.keys.delete(f"{folder}/{stored.name}")
            self._unbind(queue)
        with self._claiming:
            self._backlogs.pop(queue, None)
        return count

    def _unbind(self, queue: str) -> None:
        """Drop a queue's bindings, made by whomever."""
        for exchange in self.keys.folders(BINDINGS).names:
            folder = f"{BINDINGS}/{exchange}"
            for stored in self.keys.list(folder).stored:
                if loads(stored.value)[2] == queue:
                    self.keys.delete(f"{folder}/{stored.name}")

    def exists(self, queue: str) -> bool:
        with ERRORS.mapped(f"look up queue {queue!r}"):
            return self.keys.exists(queue)

    def size(self, queue: str) -> int:
        with ERRORS.mapped(f"count queue {queue!r}"):
            return len(self.keys.list(self.keys.queue_folder(queue)).stored)

    def purge(self, queue: str) -> int:
        folder = self.keys.queue_folder(queue)
        deadline = time.monotonic() + _PATIENCE
        with ERRORS.mapped(f"purge queue {queue!r}"):
            left = self.keys.list(folder).stored
            names = {stored.name for stored in left}
            count = 0
            while left:
                count += sum(self.keys.take(queue, left) or [])
                left = [stored for stored in self.keys.list(folder).stored if stored.name in names]
                if left and time.monotonic() >= deadline:
                    raise ServerError(f"{len(left)} message(s) are left: a published peer reads it")
                if left:
                    time.sleep(_WHILE_READ)
            return count

    # ---- messages

    def put(self, puts: Sequence[Put]) -> None:
        texts = [self._text(put) for put in puts]
        stored = 0
        with ERRORS.mapped(f"put {len(puts)} message(s)"):
            for group in self._groups(puts, texts):
                try:
                    self._put_group(puts, texts, group)
                except ERRORS.errors as exc:
                    if not stored:
                        raise
                    failed = dict.fromkeys(range(stored, len(puts)), exc)
                    raise PartialPutError(failed) from exc
                stored += len(group)
        self.waker.ring()

    def _text(self, put: Put) -> str:
        text = dumps(with_priority(put.message, put.priority))
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > self.keys.longest_value:
            raise MessageTooLarge(
                f"message of {size} bytes for queue {put.queue!r}: the server takes "
                f"{self.keys.longest_value} at most"
            )
        return text

    def _groups(self, puts: Sequence[Put], texts: Sequence[str]) -> Iterable[list[int]]:
        """Which messages go out together: neighbours for one queue, or one that is delayed."""
        now = time.time()
        group: list[int] = []
        size = 0
        for index, put in enumerate(puts):
            delayed = put.ready_at is not None and put.ready_at > now
            if group and (
                delayed
                or len(group) >= self.keys.appends
                or size + len(texts[index]) > self.keys.longest_append
                or put.queue != puts[group[0]].queue
            ):
                yield group
                group, size = [], 0
            group.append(index)
            size += len(texts[index])
            if delayed:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _put_group(self, puts: Sequence[Put], texts: Sequence[str], group: list[int]) -> None:
        put = puts[group[0]]
        if put.ready_at is not None and put.ready_at > time.time():
            key = DelayedName(int(put.ready_at * 1000), put.queue).new_key()
            self.keys.write(key, texts[group[0]])
            self.sweeping.within(put.ready_at - time.time())
        else:
            self.keys.append(put.queue, [texts[index] for index in group])

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        claims: list[Claim] = []
        with ERRORS.mapped("claim messages"):
            if self.claims.recover():
                self._start_over()
            self.sweeping.run(self._sweep)
            self.retry.run(lambda: float("inf"))
            try:
                for queue in queues:
                    self._claim_from(queue, limit, claims)
            except ERRORS.errors as exc:
                if not claims:
                    raise
                # These are ours now; what is wrong the next claim will meet, too.
                logger.warning("claimed %d message(s), then: %r", len(claims), exc)
        return claims

    def _claim_from(self, queue: str, limit: int, claims: list[Claim]) -> None:
        """Add up to ``limit`` claims, those that are there already counted in."""
        with self._claiming:
            while len(claims) < limit:
                wanted = limit - len(claims)
                found = self._backlog(queue).take(wanted)
                # As many at a time as fit into one record.
                for batch in windows(found, value_size, float("inf"), self.keys.longest_record):
                    claims += self._claim(queue, batch)
                if len(found) < wanted:
                    break

    def _backlog(self, queue: str) -> Backlog:
        backlog = self._backlogs.get(queue)
        if backlog is None:
            backlog = self._backlogs[queue] = Backlog(self.keys, queue, self._set_aside)
        return backlog

    def _claim(self, queue: str, batch: list[Waiting]) -> list[Claim]:
        held = [Held(w.stored.name, w.stored.order, w.message) for w in batch]
        holding = self.claims.record(queue, held)
        with self.claims.watched(holding):
            taken = self.keys.take(queue, [waiting.stored for waiting in batch])
            if taken is None:
                self._backlog(queue).start_over()
                self.retry.within(_WHILE_READ)
                taken = [False] * len(batch)
            if not all(taken):
                lost = [each.name for each, ours in zip(held, taken, strict=True) if not ours]
                with holding.lock:
                    self.claims.drop(holding, lost)
        return [
            Claim(
                queue,
                {key: value for key, value in each.message.items() if key not in _OURS},
                (holding, each.name),
                redelivered=bool(each.message.get("redelivered")),
                deliveries=int(each.message.get("deliveries", 0)),
            )
            for each in holding.held.values()
        ]

    def _set_aside(self, queue: str, stored: Stored) -> None:
        """Keep what is no message of ours, where no consumer meets it again."""
        key = quarantine_key()
        self.keys.write(key, stored.value)
        if self.keys.take(queue, [stored]) == [True]:
            logger.error("key %s of queue %r is no message: moved to %s", stored.name, queue, key)
        else:
            self.keys.delete(key)

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        done: dict[Holding, list[str]] = defaultdict(list)
        back: dict[Holding, list[str]] = defaultdict(list)
        for claims, names in (((*acks, *rejects), done), (releases, back)):
            for claim in claims:
                holding, name = claim.receipt
                names[holding].append(name)
        count = len(acks) + len(releases) + len(rejects)
        with ERRORS.mapped(f"settle {count} message(s)"):
            for holding in {**done, **back}:
                self._settle(holding, done.get(holding, ()), back.get(holding, ()))
        if releases:
            self.waker.ring()

    def _settle(self, holding: Holding, done: Sequence[str], back: Sequence[str]) -> None:
        with holding.lock:
            released = [holding.held[name] for name in back if name in holding.held]
            if released and not self.claims.is_ours(holding):
                released = []  # whoever finds the record of a dead owner gives them back
            self.claims.give_back(holding, released)
            names = [name for name in done if name in holding.held]
            names += [each.name for each in released]
            if names:
                self.claims.drop(holding, names)
        if released and holding.queue in self._backlogs:
            self._backlogs[holding.queue].start_over()

    def renew(self, claims: Sequence[Claim]) -> None:
        with ERRORS.mapped(f"renew the lease of {len(claims)} message(s)"):
            if not self.owner.renew():
                logger.warning("a lease ended before it was renewed: its messages are free")

    # ---- owners that died, delays that ended

    def _owners_or_delays(self) -> None:
        """Something changed there (from the thread that waits)."""
        self._live_index = None
        self.sweeping.within(self._sweep_took / LISTING_SHARE)

    def _sweep(self) -> float:
        begun = time.monotonic()
        # The index first: what comes between is then told again.
        index = self.keys.folders(LIVE).revision
        pause = min((self.lease or 0.0) / 2, self._release_delayed())
        claiming = self.keys.folders(CLAIMS).names
        living = [stored.name for stored in self.keys.list(OWNERS).stored]
        if self.claims.restore_orphans(living, claiming):
            self._start_over()
        self._live_index = index
        self._sweep_took = time.monotonic() - begun
        return max(pause, 0.001)

    def _start_over(self) -> None:
        with self._claiming:
            for backlog in self._backlogs.values():
                backlog.start_over()
        self.waker.ring()

    def _delayed(self) -> Iterable[tuple[str, Stored]]:
        for name in sorted(self.keys.folders(DELAYED).names):
            folder = f"{DELAYED}/{name}"
            for stored in sorted(self.keys.list(folder).stored):
                yield folder, stored

    def _release_delayed(self) -> float:
        """Put into their queues what is due; seconds until the next is."""
        for name in sorted(self.keys.folders(DELAYED).names):
            if (left := begins_at(name) / 1000 - time.time()) > 0:
                return left
            folder = f"{DELAYED}/{name}"
            for stored in sorted(self.keys.list(folder).stored):
                left = DelayedName.parse(stored.name).ready_milliseconds / 1000 - time.time()
                if left > 0:
                    return left
                self._release(f"{folder}/{stored.name}", stored)
            self.keys.drop_folder(folder)
        return float("inf")

    def _release(self, key: str, stored: Stored) -> None:
        message = parse(stored.value)
        queue = DelayedName.parse(stored.name).queue
        if message is None:
            self.keys.write(quarantine_key(), stored.value)
            self.keys.delete(key, stored.version)
            logger.error("delayed key %s is no message: set aside", key)
            return
        # As a claim: on record first, then out of where it was.
        holding = self.claims.record(queue, [Held(stored.name, None, message)])
        with self.claims.watched(holding), holding.lock:
            if self.keys.delete(key, stored.version):
                self.claims.give_back(holding, list(holding.held.values()))
            self.claims.drop(holding, list(holding.held))

    # ---- life

    def close(self) -> None:
        if os.getpid() != self._pid:
            return
        self.waker.close()
        try:
            with ERRORS.mapped("close"):
                self.owner.close()
        finally:
            self.keys.close()


def value_size(waiting: Waiting) -> int:
    return len(waiting.stored.value)
