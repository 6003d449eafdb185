"""Messages as files, held by moving them into a folder that belongs to a living process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Literal, NamedTuple

from amqp.exceptions import RecoverableConnectionError

from kombu.log import get_logger
from kombu.transport.features import SHARED_STORE
from kombu.transport.filesystem import files
from kombu.transport.filesystem.errors import mapped
from kombu.transport.filesystem.files import Unripe
from kombu.transport.filesystem.folders import Folder
from kombu.transport.filesystem.index import Index
from kombu.transport.filesystem.names import Clock, Name, check_queue
from kombu.transport.filesystem.owners import Bells, Owner, held, is_alive, recover
from kombu.transport.filesystem.queues import Queues
from kombu.transport.virtual.errors import resource_locked
from kombu.transport.virtual.policy import QueuePolicy, size_of
from kombu.transport.virtual.store import (
    Claim,
    Discard,
    Envelope,
    PartialPutError,
    Put,
    QueueFull,
    QueueSpec,
    Store,
)
from kombu.utils.json import dumps
from kombu.utils.logfields import log_fields

logger = get_logger(__name__)

#: Seconds between two looks for owners that died.
RECOVERY_INTERVAL = 0.5


class _Held(NamedTuple):
    """A message file in our folder."""

    name: Name
    path: str
    declared: bool


class FilesystemStore(Store):
    """Messages of a pair of folders; many processes share them.

    Arguments:
        reading: where messages are taken from.
        writing: where they are put; may be the same folder.
        queues: declarations, in the control folder.
        clock: makes file names; one for all stores of a process, so that they sort.
        interval: gives the longest pause in seconds between two looks for messages of
            writers that don't ring (5.7, or systems without named pipes).
        processed: folder for acknowledged messages; ``None``: they are deleted.
        bury: forgets the bindings of a queue whose owner died.
    """

    features = replace(
        SHARED_STORE,
        exclusive=True,
        consumer_counts=True,
        native=frozenset({"priority", "message_ttl", "max_length", "delay"}),
    )
    claim_window = 16

    def __init__(
        self,
        reading: Folder,
        writing: Folder,
        queues: Queues,
        clock: Clock,
        interval: Callable[[], float | None],
        processed: str | None = None,
        bury: Callable[[str], None] | None = None,
    ) -> None:
        self.reading = reading
        self.writing = writing
        self.queues = queues
        self._clock = clock
        self._interval = interval
        self._processed = processed
        self.bury = bury
        self._lock = threading.RLock()
        self._numbers = count(1)
        self._pid = os.getpid()
        self._owner: Owner | None = None
        self._held: dict[int, _Held] = {}
        self._discards: list[Discard] = []
        self._unripe = Unripe()
        self._interrupted = False
        self._closed = False
        self._looked = 0.0
        self._same = reading.path == writing.path
        with mapped("open the message folders"):
            for folder in {writing.path: writing, reading.path: reading}.values():
                folder.prepare()
        self._ready = Index(reading.path)
        self._delayed = Index(reading.delayed, by_time=True)
        self._bells = Bells(writing.claims)
        self._own_bells = Bells(reading.claims)

    # ---- life

    def _open(self) -> None:
        if self._closed:
            raise RecoverableConnectionError("the connection to the message folders is closed")
        if self._pid != os.getpid():
            self._after_fork()

    def _after_fork(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        owner, self._owner = self._owner, None
        self._held = {}
        self._discards = []
        if owner is not None:
            owner.abandon()

    def _own(self) -> Owner:
        if self._owner is None:
            self._owner = Owner(self.reading.claims)
        return self._owner

    def close(self) -> None:
        if self._closed:
            return
        if self._pid != os.getpid():
            self._after_fork()
        with self._lock:
            self._closed = True
            owner, self._owner = self._owner, None
            if owner is None:
                return
            try:
                with mapped("give messages back"):
                    self._give_back(list(self._held))
            finally:
                self._held.clear()  # what is left others take over
                owner.close()

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        self._open()
        check_queue(queue.name)
        with self._lock, mapped(f"declare queue {queue.name!r}"):
            owner = self.queues.owner(queue.name) if self.queues.exists(queue.name) else None
            if owner is not None and (self._owner is None or owner != self._owner.name):
                if is_alive(self.reading.claims, owner):
                    raise resource_locked(queue.name, self.reading.path, "Queue.declare")
                # An exclusive queue goes with its connection, however that ended.
                self.delete(queue.name)
            self.queues.declare(queue, self._own().name if queue.exclusive else None)

    def delete(self, queue: str) -> int:
        self._open()
        with self._lock, mapped(f"delete queue {queue!r}"):
            self.queues.delete(queue)
            self._delayed.refresh()
            for name in list(self._delayed.of(queue)):
                self._delayed.discard(name.file)
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(self.reading.delayed, name.file))
            return self._drop(queue)

    def exists(self, queue: str) -> bool:
        self._open()
        with mapped(f"look up queue {queue!r}"):
            return self.queues.exists(queue) or self.size(queue) > 0

    def size(self, queue: str) -> int:
        self._open()
        with self._lock, mapped(f"count messages of queue {queue!r}"):
            self._look()
            return self._ready.count(queue)

    def purge(self, queue: str) -> int:
        self._open()
        with self._lock, mapped(f"purge queue {queue!r}"):
            return self._drop(queue)

    def _drop(self, queue: str) -> int:
        self._look()
        dropped = 0
        for name in list(self._ready.of(queue)):
            self._ready.discard(name.file)
            with suppress(FileNotFoundError):
                os.unlink(self.reading.path_of(name.file))
                dropped += 1
        return dropped

    def queue_names(self) -> list[str]:
        self._open()
        with mapped("list the queues"):
            return self.queues.names()

    def held(self, queue: str) -> int:
        self._open()
        return held(self.reading.claims, queue)

    # ---- putting

    def put(self, puts: Sequence[Put]) -> None:
        self._open()
        failed: dict[int, BaseException] = {}
        with self._lock:
            for index, put in enumerate(puts):
                try:
                    with mapped(f"publish to queue {put.queue!r}"):
                        self._put_one(put)
                except Exception as exc:
                    if len(puts) == 1:
                        raise
                    failed[index] = exc
            if self.writing.fsync:
                with mapped("publish"):
                    self.writing.sync(self.writing.path, self.writing.delayed)
        self._bells.ring()
        if failed:
            raise PartialPutError(failed)

    def _put_one(self, put: Put) -> None:
        check_queue(put.queue)
        policy = self.queues.policy(put.queue)
        if policy is not None and policy.bounded and policy.overflow != "drop-head":
            self._look()
            if self._over(put.queue, policy, 1, size_of(put.message)):
                if policy.overflow == "reject-publish-dlx":
                    self._refuse(put)
                raise QueueFull(f"queue {put.queue!r} is full")
        name = self._clock.name(put.queue, put.priority, put.expires_at)
        data = dumps(put.message).encode()
        if put.ready_at is not None and put.ready_at > time.time():
            name = name.at(int(put.ready_at * 1000) + 1)
            self.writing.write(os.path.join(self.writing.delayed, name.file), data)
            if self._same:
                self._delayed.add_name(name)
            return
        self.writing.write(self.writing.path_of(name.file), data)
        if self._same:
            self._ready.add_name(name)
        if policy is not None and policy.bounded and policy.overflow == "drop-head":
            self._look()
            while self._over(put.queue, policy):
                oldest = self._ready.pop(put.queue)
                if oldest is None:
                    break
                self._set_aside(oldest, "maxlen")

    def _refuse(self, put: Put) -> None:
        """Hold a refused message, for the virtual layer to dead-letter."""
        name = self._clock.name(put.queue, put.priority, put.expires_at)
        path = os.path.join(self._own().folder, name.file)
        self.reading.write(path, dumps(put.message).encode())
        self._discards.append(Discard("maxlen", self._hold(name, path, put.message)))

    def _over(self, queue: str, policy: QueuePolicy, extra: int = 0, size: int = 0) -> bool:
        if policy.max_length is not None and self._ready.count(queue) + extra > policy.max_length:
            return True
        if policy.max_bytes is None:
            return False
        total = size
        for name in self._ready.of(queue):
            try:
                total += size_of(files.read(self.reading.path_of(name.file)))
            except (FileNotFoundError, ValueError):
                continue
        return total > policy.max_bytes

    # ---- claiming

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        self._open()
        claims: list[Claim] = []
        with self._lock, mapped("claim messages"):
            self._look(thrifty=True)
            complete = False
            for queue in queues:
                while len(claims) < limit:
                    name = self._ready.pop(queue)
                    if name is None:
                        if complete:
                            break
                        complete = True
                        self._look()
                        continue
                    claim = self._take(name)
                    if claim is not None:
                        claims.append(claim)
                if len(claims) >= limit:
                    break
        return claims

    def _look(self, thrifty: bool = False) -> None:
        """Bring the index up to date: the dead's messages, delayed, new and expired ones."""
        now = time.time()
        self._recover()
        self._mature(now)
        self._ready.refresh(thrifty)
        for file in self._unripe.resting(now):
            self._ready.discard(file)
        for file in self._unripe.ripe(now):
            if os.path.exists(self.reading.path_of(file)):
                self._ready.add(file)
        while (name := self._ready.pop_expired(now)) is not None:
            self._set_aside(name, "expired")

    def _mature(self, now: float) -> None:
        """Move messages whose time has come to the others."""
        self._delayed.refresh()
        while (name := self._delayed.earliest()) is not None and name.milliseconds <= now * 1000:
            self._delayed.discard(name.file)
            now_ready = self._clock.name(name.queue, name.priority, name.expires_at)
            try:
                os.rename(
                    os.path.join(self.reading.delayed, name.file),
                    self.reading.path_of(now_ready.file),
                )
            except FileNotFoundError:
                continue
            self._ready.add_name(now_ready)

    def _take(self, name: Name) -> Claim | None:
        """Hold one message; ``None`` when another was faster or it is none."""
        source = self.reading.path_of(name.file)
        path = os.path.join(self._own().folder, name.file)
        try:
            os.rename(source, path)
        except FileNotFoundError:
            return None
        try:
            message = files.read(path)
        except ValueError as exc:
            self._set_apart(name, path, exc)
            return None
        except OSError:
            os.rename(path, source)  # held by nobody, it would stay there as long as we live
            self._ready.add_name(name)
            raise
        return self._hold(name, path, message)

    def _hold(self, name: Name, path: str, message: Envelope) -> Claim:
        again, deliveries = files.take_deliveries(message)
        receipt = next(self._numbers)
        self._held[receipt] = _Held(name, path, self.queues.exists(name.queue))
        return Claim(name.queue, message, receipt, again, deliveries)

    def _set_apart(self, name: Name, path: str, error: ValueError) -> None:
        """What can't be read goes back for a while, in case it is being written; then aside."""
        if self._unripe.may_ripen(path):
            os.rename(path, self.reading.path_of(name.file))
            self._unripe.add(name.file)
            return
        target = os.path.join(self.reading.quarantine, name.file)
        os.rename(path, target)
        logger.error(
            "%r of queue %r holds no message (%s): moved to %r",
            name.file,
            name.queue,
            error,
            target,
            extra=log_fields(queue=name.queue, reason="quarantined"),
        )

    def _set_aside(self, name: Name, reason: Literal["expired", "maxlen"]) -> None:
        claim = self._take(name)
        if claim is not None:
            self._discards.append(Discard(reason, claim))

    def sweep(self, limit: int) -> list[Discard]:
        self._open()
        with self._lock, mapped("look for expired messages"):
            expiry = self._ready.next_expiry()
            if expiry is not None and expiry <= time.time():
                self._look()
            taken, self._discards = self._discards[:limit], self._discards[limit:]
        return taken

    # ---- settling

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        self._open()
        with self._lock, mapped("settle messages"):
            for claim in (*acks, *rejects):
                held = self._held.get(claim.receipt)
                if held is not None:
                    self._done(held)
                    del self._held[claim.receipt]
            self._give_back([claim.receipt for claim in releases])

    def _done(self, held: _Held) -> None:
        with suppress(FileNotFoundError):
            if self._processed is None:
                os.unlink(held.path)
            else:
                os.rename(held.path, os.path.join(self._processed, held.name.file))

    def _give_back(self, receipts: Iterable[int]) -> None:
        """Give held files back; those it fails for stay held."""
        some = False
        for receipt in receipts:
            held = self._held.get(receipt)
            if held is None:
                continue
            if held.declared and not self.queues.exists(held.name.queue):
                self._done(held)
            else:
                self._return(held.path)
            del self._held[receipt]
            some = True
        if some:
            self._own_bells.ring()

    def _return(self, path: str) -> None:
        """Put one file back where it was, marked as delivered before."""
        file = os.path.basename(path)
        try:
            message = files.read(path)
        except FileNotFoundError:
            return
        except ValueError:
            logger.debug("%r holds no message: given back as it is", path)
        else:
            files.count_delivery(message)
            try:
                self.reading.write(path, dumps(message).encode())
            except OSError as exc:
                logger.warning("%r could not be marked as redelivered: %s", file, exc)
        os.rename(path, self.reading.path_of(file))
        self._ready.add(file)

    def _recover(self, interval: float = RECOVERY_INTERVAL) -> None:
        """Give back what processes held that are gone."""
        now = time.monotonic()
        if now - self._looked < interval:
            return
        self._looked = now
        dead: list[str] = []

        def take_over(folder: str, left: Iterable[str]) -> None:
            dead.append(os.path.basename(folder))
            for file in left:
                self._return(os.path.join(folder, file))
            self._own_bells.ring()

        recover(self.reading.claims, take_over)
        if dead:
            for queue in self.queues.names():
                if self.queues.owner(queue) in dead:  # exclusive: it goes with its connection
                    self.delete(queue)
                    if self.bury is not None:
                        self.bury(queue)

    # ---- waking

    def wait(self, queues: Sequence[str], timeout: float | None) -> bool:
        self._open()
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock, mapped("wait for messages"):
            owner = self._own()
        pause = 0.001
        while True:
            if self._interrupted:
                self._interrupted = False
                return False
            self._open()
            with self._lock, mapped("wait for messages"):
                self._look()
                if self._discards or any(self._ready.count(queue) for queue in queues):
                    return True
                nap = self._nap(pause)
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                nap = min(nap, left)
            rung = self._interrupted or owner.listen(nap)
            pause = 0.001 if rung else min(pause * 2, self._longest())

    def _longest(self) -> float:
        interval = self._interval()
        return 1.0 if interval is None else max(interval, 0.001)

    def _nap(self, pause: float) -> float:
        """Seconds until the next look is due by itself."""
        nap = max(min(pause, self._longest()), self._ready.cost * 10)
        now = time.time()
        expiry = self._ready.next_expiry()
        delayed = self._delayed.earliest()
        if expiry is not None:
            nap = min(nap, expiry - now)
        if delayed is not None:
            nap = min(nap, delayed.milliseconds / 1000 - now)
        if self._unripe.pause is not None:
            nap = min(nap, self._unripe.pause)
        return max(nap, 0.0005)

    def interrupt(self) -> None:
        self._interrupted = True
        owner = self._owner
        if owner is not None:
            owner.ring()
