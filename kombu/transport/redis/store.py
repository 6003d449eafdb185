"""The store of leased messages on Redis lists (see ``claim.lua`` for what stands where)."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from redis import exceptions

from kombu.transport.features import SHARED_STORE
from kombu.transport.redis.claims import RedisClaim, returned
from kombu.transport.redis.errors import ERRORS as TABLE
from kombu.transport.redis.errors import NotEnoughReplicas, WrongType, mapped, refined
from kombu.transport.redis.keys import Bookkeeping, Keyspace
from kombu.transport.redis.link import Command, Script
from kombu.transport.redis.options import RedisOptions
from kombu.transport.redis.restore import Restorer, Router
from kombu.transport.redis.server import Server
from kombu.transport.redis.wake import Waker
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.policy import QueuePolicy
from kombu.transport.virtual.store import (
    Claim,
    Discard,
    PartialPutError,
    Put,
    QueueFull,
    QueueSpec,
    Store,
)
from kombu.utils.json import dumps, loads
from kombu.utils.logfields import log_fields

logger = logging.getLogger("kombu.transport.redis")

#: Seconds during which a deleted queue takes no late returns.
_DELETED_FOR = 86400

#: Milliseconds for which an expired queue's lifetime is still known.
_REMEMBERED = 3_600_000

FEATURES = replace(
    SHARED_STORE,
    event_loop=True,
    native=frozenset({"delay", "max_length"}),
)


class RedisStore(Store):
    """Messages on lists, leases in the published ``unacked`` keys.

    Arguments:
        server: where the keys live.
        keys: their names.
        options: the transport's options.
    """

    features = FEATURES

    #: Registers an owner as waiting.
    arm_script = "arm"

    def __init__(self, server: Server, keys: Keyspace, options: RedisOptions) -> None:
        self._server, self._keys, self._options = server, keys, options
        self.lease = options.lease_seconds if options.ack_emulation else None
        self.claim_window = options.claim_window
        self._claim_script = Script("claim")
        self._settle_script = Script("settle")
        self._put_script = Script("put")
        self._expiry: dict[str, int] = {}
        self._policies: dict[str, QueuePolicy | None] = {}
        self._crowded: set[str] = set()
        #: Run before each wait, by whoever has something to look after.
        self.chores: list[Callable[[], None]] = []
        #: Arguments of a queue that another client declared, where somebody keeps them.
        self.find_arguments: Callable[[str], Mapping[str, Any] | None] | None = None
        self.find_expiry: Callable[[str], int | None] | None = None
        self._complained: set[str] = set()
        self._closed = False
        self._lock = threading.RLock()
        self._name_owner()
        tick = options.health_check_interval or 25.0
        self.waker = Waker(server, keys, self._current_owner, tick, options.waking, self.arm_script)
        self.restorer = Restorer(server, keys, options)

    # ---- who we are

    def _name_owner(self) -> None:
        self._pid = os.getpid()
        self._owner = f"{uuid.uuid4().hex}-{self._pid}"

    def _current_owner(self) -> str:
        if self._pid != os.getpid():
            self._name_owner()
            self.waker.forget()
        return self._owner

    @property
    def owner(self) -> str:
        """Name of this holder of leases; another one in a forked child."""
        return self._current_owner()

    def use_router(self, router: Router) -> None:
        """How to find the queues of messages that a published peer abandoned."""
        self.restorer.router = router

    def _check_open(self) -> None:
        if self._closed:
            raise TABLE.translate(exceptions.ConnectionError("the store is closed"), "use Redis")

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        """Record the queue; its lists appear with their first messages."""
        self._check_open()
        name = queue.name
        expires = queue.arguments.get("x-expires")
        spec = dumps(
            {
                "durable": queue.durable,
                "exclusive": queue.exclusive,
                "auto_delete": queue.auto_delete,
                "arguments": dict(queue.arguments),
            }
        )
        command: list[Any] = ["SET", self._keys.of_queue("queue", name), spec]
        if expires:
            self._expiry[name] = int(expires)
            command += ["PX", int(expires)]
        else:
            self._expiry.pop(name, None)
        self._policies[name] = QueuePolicy.of(queue.arguments)
        base = self._keys.base(name)
        commands: list[tuple[str, Command]] = [(base, tuple(command))]
        if expires:
            # Outlives the record: what others put after the queue's end must end, too.
            ended = self._keys.of_queue("expiring", name)
            commands.append((base, ("SET", ended, int(expires), "PX", int(expires) + _REMEMBERED)))
        with mapped(f"declare queue {name!r}"):
            self._strict(self._server.pipeline(commands))

    def arguments(self, queue: str) -> dict[str, Any] | None:
        """The arguments a queue was declared with by a client of this version, else ``None``."""
        self._check_open()
        with mapped(f"look up queue {queue!r}"):
            text = self._server.call(
                self._keys.base(queue), "GET", self._keys.of_queue("queue", queue)
            )
        if text is None:
            return None
        found = loads(text.decode()).get("arguments")
        return dict(found) if isinstance(found, dict) else {}

    def exists(self, queue: str) -> bool:
        self._check_open()
        names = [self._keys.of_queue("queue", queue), *self._keys.lists(queue)]
        names.append(self._keys.of_queue("delayed", queue))
        with mapped(f"look up queue {queue!r}"):
            return bool(self._server.call(self._keys.base(queue), "EXISTS", *names))

    def _lengths(self, queue: str) -> list[tuple[str, Command]]:
        base = self._keys.base(queue)
        return [(base, ("LLEN", name)) for name in self._keys.lists(queue)]

    def size(self, queue: str) -> int:
        self._check_open()
        with mapped(f"size of queue {queue!r}"):
            return sum(self._strict(self._server.pipeline(self._lengths(queue))))

    @staticmethod
    def _strict(replies: list[Any]) -> list[Any]:
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def purge(self, queue: str) -> int:
        self._check_open()
        return self._drop(queue, f"purge queue {queue!r}", [])

    def delete(self, queue: str) -> int:
        self._check_open()
        base = self._keys.base(queue)
        self._expiry.pop(queue, None)
        self._policies.pop(queue, None)
        with mapped(f"delete queue {queue!r}"):
            seconds, micros = self._server.call(base, "TIME")
        stamp = f"{int(seconds)}{int(micros):06d}"
        also: list[Command] = [
            ("DEL", self._keys.of_queue("delayed", queue), self._keys.of_queue("queue", queue)),
            ("SET", self._keys.of_queue("deleted", queue), stamp, "EX", _DELETED_FOR),
        ]
        return self._drop(queue, f"delete queue {queue!r}", also)

    def _drop(self, queue: str, doing: str, also: Sequence[Command]) -> int:
        base = self._keys.base(queue)
        lengths = self._lengths(queue)
        commands: list[tuple[str, Command]] = [
            (base, ("MULTI",)),
            *lengths,
            (base, ("DEL", *self._keys.lists(queue))),
            *((base, command) for command in also),
            (base, ("EXEC",)),
        ]
        with mapped(doing):
            replies = self._strict(self._server.pipeline(commands))
            counts = replies[-1][: len(lengths)]
            for count in counts:
                if isinstance(count, Exception):
                    raise refined(count)
        return sum(counts)

    # ---- messages

    def put(self, puts: Sequence[Put]) -> None:
        self._check_open()
        commands: list[tuple[str, Command]] = []
        owners: list[int] = []
        failed: dict[int, BaseException] = {}
        policies: dict[str, QueuePolicy | None] = {}
        for index, item in enumerate(puts):
            if item.queue not in policies:
                policies[item.queue] = self._policy(item.queue)
            policy = policies[item.queue]
            if policy is not None and policy.bounded:
                self._crowded.add(item.queue)
                if policy.overflow != "drop-head" and item.ready_at is None:
                    with mapped(f"put into queue {item.queue!r}"):
                        if not self._put_bounded(item, policy):
                            failed[index] = QueueFull(f"queue {item.queue!r} is full")
                    continue
            for command in self._put_commands(item):
                commands.append((self._keys.base(item.queue), command))
                owners.append(index)
        replicas = self._options.wait_replicas
        if replicas:
            timeout = int((self._options.wait_replicas_timeout or 0) * 1000)
            for base in dict.fromkeys(base for base, _ in commands):
                commands.append((base, ("WAIT", replicas, timeout)))
        replies: list[Any] = []
        with mapped("publish"):
            if commands:
                replies = self._server.pipeline(commands)
            for reply in replies[len(owners) :]:
                if isinstance(reply, Exception):
                    raise reply
                if int(reply) < replicas:
                    raise NotEnoughReplicas(
                        f"{int(reply)} of {replicas} replicas have the message in time"
                    )
        for index, reply in zip(owners, replies, strict=False):
            if isinstance(reply, Exception):
                name = puts[index].queue
                failed.setdefault(index, TABLE.translate(reply, f"put into queue {name!r}"))
        if failed:
            if len(failed) == len(puts) == 1:
                raise failed[0] from failed[0].__cause__
            raise PartialPutError(failed)

    def _put_bounded(self, item: Put, policy: QueuePolicy) -> bool:
        lists = self._keys.lists(item.queue)
        number = lists.index(self._keys.list_for(item.queue, item.priority)) + 1
        stored = self._server.script(
            self._put_script,
            lists,
            [number, _or_none(policy.max_length), _or_none(policy.max_bytes), dumps(item.message)],
        )
        return bool(stored)

    def _policy(self, queue: str) -> QueuePolicy | None:
        """What a queue's arguments demand, as this client or another declared them."""
        if queue in self._policies:
            return self._policies[queue]
        if self.find_arguments is None:
            return None
        return QueuePolicy.of(self.find_arguments(queue))

    def _put_commands(self, item: Put) -> list[Command]:
        text = dumps(item.message)
        name = item.queue
        commands: list[Command]
        if item.ready_at is not None and item.ready_at > time.time():
            step = self._keys.step_of(item.priority)
            member = f"{step}:{uuid.uuid4().hex[:12]}:{text}"
            commands = [("ZADD", self._keys.of_queue("delayed", name), item.ready_at, member)]
        else:
            commands = [("LPUSH", self._keys.list_for(name, item.priority), text)]
        expires = self._expiry.get(name)
        if expires is not None:
            commands += self._touch(name, expires)
        elif self.find_expiry is not None and (others := self.find_expiry(name)):
            commands += [("PEXPIRE", key, others) for key in self._keys.lists(name)]
        return commands

    def _touch(self, queue: str, expires: int) -> list[Command]:
        names = [*self._keys.lists(queue), self._keys.of_queue("queue", queue)]
        return [("PEXPIRE", name, expires) for name in names]

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        self._check_open()
        claims: list[Claim] = []
        if not queues or limit < 1:
            return claims
        if self._keys.tagged:
            self.watch(queues)
        self.sweep_if_due()
        wrong: list[bytes] = []
        with mapped("claim messages"):
            for group in self._keys.grouped(queues):
                if len(claims) < limit:
                    claims += self._claim_group(group, limit - len(claims), wrong)
        if claims and self.waker.registered:
            self._sign_off(queues)
        if wrong:
            self._complain(wrong, raising=not claims)
        return claims

    def _claim_group(
        self,
        group: Sequence[str],
        limit: int,
        wrong: list[bytes],
        keep: tuple[int, int] = (-1, -1),
    ) -> list[Claim]:
        books = self._keys.bookkeeping(group[0])
        names: list[str] = list(books)
        lists: list[list[str]] = []
        for queue in group:
            of_queue = self._keys.lists(queue)
            lists.append(of_queue)
            names += [
                self._keys.of_queue("idle", queue),
                self._keys.of_queue("delayed", queue),
                self._keys.of_queue("quarantine", queue),
                *of_queue,
            ]
        registered = self._registrations(group)
        for queue in registered:
            names += [self._keys.of_queue("idle", queue), self._keys.of_queue("sentry", queue)]
        owner = self._current_owner()
        micros, _left, rows, bad, wrong_keys = self._server.script(
            self._claim_script,
            names,
            [
                limit,
                owner,
                f"{self._options.lease_seconds:.6f}",
                len(group),
                len(self._keys.steps),
                len(registered),
                int(self._options.ack_emulation),
                self._keys.wake_channel,
                *keep,
                *group,
                *self._keys.steps,
            ],
        )
        for index in range(0, len(bad), 2):
            self._report_bad(group[bad[index] - 1], bad[index + 1])
        wrong += wrong_keys
        stamp = micros.decode()
        claims: list[Claim] = []
        unreadable: list[RedisClaim] = []
        for index in range(0, len(rows), 4):
            number, place, field, raw = rows[index : index + 4]
            which, step = divmod(number - 1, len(self._keys.steps))
            queue = group[which]
            message = parse(raw)
            claim = RedisClaim(
                queue,
                message or {},
                f"{stamp}{place:05d}/{owner}",
                raw,
                field if self._options.ack_emulation else None,
                books,
                lists[which][step],
            )
            if message is None:
                unreadable.append(claim)
            else:
                claims.append(claim)
        for claim in unreadable:
            self._set_aside(claim)
        for queue in {claim.queue for claim in claims} & self._expiry.keys():
            self._server.pipeline(
                [(self._keys.base(queue), c) for c in self._touch(queue, self._expiry[queue])]
            )
        if claims:
            self.waker.registered.difference_update(registered)
        return claims

    def _registrations(self, group: Sequence[str]) -> list[str]:
        """Queues we are registered for as waiting, that a script for ``group`` may touch."""
        registered = self.waker.registered
        if self._keys.tagged:
            return [queue for queue in group if queue in registered]
        return list(registered)

    def _sign_off(self, queues: Sequence[str]) -> None:
        """In a cluster: stop waiting for the queues that nothing was claimed from."""
        keys = self._keys
        rest = [queue for queue in self.waker.registered if queue not in queues]
        commands: list[tuple[str, Command]] = []
        owner = self._current_owner()
        for queue in self.waker.registered:
            base = keys.base(queue)
            commands.append((base, ("ZREM", keys.of_queue("idle", queue), owner)))
            if queue in rest or keys.tagged:
                commands.append((base, ("DEL", keys.of_queue("sentry", queue))))
        with mapped("claim messages"):
            self._server.pipeline(commands)
        self.waker.forget()

    def _report_bad(self, queue: str, raw: bytes) -> None:
        logger.error(
            "a value in queue %r is not a message; set aside in %r (%d bytes, starts with %r)",
            queue,
            self._keys.of_queue("quarantine", queue),
            len(raw),
            raw[:40],
            extra=log_fields(queue=queue, reason="quarantined"),
        )

    def _set_aside(self, claim: RedisClaim) -> None:
        """Move what the script took for a message, and is none, out of the way."""
        self._server.call(
            self._keys.base(claim.queue),
            "LPUSH",
            self._keys.of_queue("quarantine", claim.queue),
            claim.raw,
        )
        if claim.field is not None:
            self._settle(claim.books, [], [claim], [])
        self._report_bad(claim.queue, claim.raw)

    def _complain(self, wrong: Sequence[bytes], raising: bool) -> None:
        names = sorted({name.decode("utf-8", "replace") for name in wrong})
        text = f"keys {names} hold something else than a queue's list"
        for name in names:
            if name not in self._complained:
                self._complained.add(name)
                logger.error("key %r holds something else than a queue's list", name)
        if raising:
            raise TABLE.translate(WrongType(text), "claim messages")

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        self._check_open()
        done: dict[Bookkeeping, list[RedisClaim]] = {}
        back: dict[Bookkeeping, list[RedisClaim]] = {}
        plain: list[tuple[str, Command]] = []
        for claim in (*acks, *rejects):
            assert isinstance(claim, RedisClaim)
            if claim.field is not None:
                done.setdefault(claim.books, []).append(claim)
        for claim in sorted(releases, key=lambda claim: str(claim.receipt), reverse=True):
            assert isinstance(claim, RedisClaim)
            if claim.field is not None:
                back.setdefault(claim.books, []).append(claim)
            else:
                message = parse(claim.raw) or claim.message
                base = self._keys.base(claim.queue)
                plain.append((base, ("RPUSH", claim.source, returned(message))))
        with mapped("settle messages"):
            if plain:
                self._strict(self._server.pipeline(plain))
            for books in {**done, **back}:
                self._settle(books, [], done.get(books, []), back.get(books, []))

    def sweep(self, limit: int) -> list[Discard]:
        found: list[Discard] = []
        for queue in list(self._crowded):
            policy = self._policy(queue)
            if policy is None or not policy.bounded or policy.overflow != "drop-head":
                self._crowded.discard(queue)
                continue
            keep = (_or_none(policy.max_length), _or_none(policy.max_bytes))
            with mapped(f"shorten queue {queue!r}"):
                claims = self._claim_group([queue], limit - len(found), [], keep)
            found += [Discard("maxlen", claim) for claim in claims]
            if len(found) >= limit:
                break
            self._crowded.discard(queue)
        return found

    def renew(self, claims: Sequence[Claim]) -> None:
        if self.lease is None or not claims:
            return
        self._check_open()
        held: dict[Bookkeeping, list[RedisClaim]] = {}
        for claim in claims:
            assert isinstance(claim, RedisClaim)
            if claim.field is not None:
                held.setdefault(claim.books, []).append(claim)
        with mapped("renew leases"):
            for books, group in held.items():
                self._settle(books, group, [], [])

    def _settle(
        self,
        books: Bookkeeping,
        renewals: Sequence[RedisClaim],
        acks: Sequence[RedisClaim],
        releases: Sequence[RedisClaim],
    ) -> None:
        before, after = self._keys.around("deleted")
        arguments: list[Any] = [
            len(renewals),
            len(acks),
            len(releases),
            f"{self._options.lease_seconds:.6f}",
            before,
            after,
        ]
        for claim in (*renewals, *acks):
            arguments += (claim.field, claim.receipt)
        for claim in releases:
            message = parse(claim.raw) or claim.message
            arguments += (claim.field, claim.receipt, returned(message, claim.receipt))
        self._repeatable(self._settle_script, list(books), arguments)

    def _repeatable(self, script: Script, keys: list[str], arguments: list[Any]) -> Any:
        """Run a script that does nothing the second time, also when the connection is lost."""
        try:
            return self._server.script(script, keys, arguments)
        except exceptions.ConnectionError:
            return self._server.script(script, keys, arguments)

    # ---- messages of owners that are gone

    def sweep_if_due(self) -> int:
        """Put back what owners left behind, when it is time to look; how many messages."""
        if self.lease is None or not self.restorer.is_due:
            return 0
        with mapped("restore messages"):
            return self.restorer.sweep()

    def watch(self, queues: Sequence[str]) -> None:
        """Name the queues whose abandoned messages this client restores (cluster)."""
        self.restorer.queues.update(queues)

    # ---- waking

    def wait(self, queues: Sequence[str], timeout: float | None) -> bool:
        self._check_open()
        with mapped("wait for messages"):
            return self.waker.wait(queues, timeout, self._chore)

    def _chore(self) -> float:
        for chore in self.chores:
            chore()
        if self.lease is None:
            return 3600.0
        if self.sweep_if_due():
            self.waker.ring()
        return self.restorer.due_in + random.uniform(0, 0.05)

    def interrupt(self) -> None:
        self.waker.interrupt()

    def filenos(self) -> Sequence[int]:
        return self.waker.filenos()

    def arm(self, queues: Sequence[str]) -> None:
        self._check_open()
        with mapped("wait for messages"):
            self._chore()
            self.waker.arm_descriptors(queues)

    def on_readable(self, fileno: int) -> bool:
        self._check_open()
        with mapped("wait for messages"):
            return self.waker.heard()

    # ---- life

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._pid == os.getpid():
            self._leave()
        self.waker.close()
        self._server.close()

    def _leave(self) -> None:
        """Sign off where we are registered as waiting, if that takes no new connection."""
        keys, owner = self._keys, self._owner
        registered = list(self.waker.registered)
        if not registered:
            return
        commands: list[tuple[str, Command]] = []
        for queue in registered:
            base = keys.base(queue)
            commands.append((base, ("ZREM", keys.of_queue("idle", queue), owner)))
        try:
            self._server.pipeline(commands)
        except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as exc:
            logger.debug("could not sign off from the server: %s", type(exc).__name__)


def _or_none(limit: int | None) -> int:
    """A limit as the scripts take it."""
    return -1 if limit is None else limit
