"""The store of leased messages on Redis Streams (``redis+streams://``); see ``stream.lua``.

For deployments without published peers: the server's consumer groups keep the leases, so
that no message is copied when it is claimed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kombu.transport.redis.broker import TopologyKeepingStore
from kombu.transport.redis.claims import history
from kombu.transport.redis.errors import mapped
from kombu.transport.redis.keys import Bookkeeping, Keyspace
from kombu.transport.redis.link import Command, Script
from kombu.transport.redis.options import RedisOptions
from kombu.transport.redis.server import Server
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.store import Claim, Envelope


@dataclass(frozen=True)
class StreamKeyspace(Keyspace):
    """Names of streams in the place of lists."""

    def lists(self, queue: str) -> list[str]:
        """The streams of a queue, one per priority step, most urgent first."""
        return [self._stream(queue, step) for step in self.steps]

    def list_for(self, queue: str, priority: int) -> str:
        """The stream a message of this priority goes to."""
        return self._stream(queue, self.step_of(priority))

    def _stream(self, queue: str, step: int) -> str:
        name = self.of_queue("stream", queue)
        return f"{name}{self.sep}{step}" if step else name

    def base(self, queue: str) -> str:
        """A name in the slot of the queue's keys."""
        return self.of_queue("stream", queue)

    def bookkeeping(self, queue: str) -> Bookkeeping:
        """Not used: the consumer group keeps the books."""
        return Bookkeeping("", "", "", "")


class StreamClaim(Claim):
    """An entry that the consumer group has delivered to an owner.

    Arguments:
        stream: its key.
        entry: its id.
        count: how often the group delivered it, this time included.
        consumer: the owner, as the group knows it.
    """

    __slots__ = ("consumer", "count", "entry", "rank", "raw", "stream")

    def __init__(
        self,
        queue: str,
        message: Envelope,
        stream: str,
        entry: str,
        count: int,
        consumer: str,
        raw: bytes,
        rank: int = 0,
    ) -> None:
        marked, before = history(message)
        super().__init__(
            queue, message, f"{entry}/{count}", marked or count > 1, max(before, count - 1)
        )
        self.stream, self.entry, self.count = stream, entry, count
        self.consumer, self.raw, self.rank = consumer, raw, rank


class RedisStreamStore(TopologyKeepingStore):
    """Messages on streams, leases in the pending list of their consumer group.

    Arguments:
        server: where the keys live.
        keys: their names.
        options: the transport's options; those named ``unacked_...`` mean nothing here.
    """

    arm_script = "stream_arm"
    put_script = Script("stream_put")
    together = 1

    def __init__(self, server: Server, keys: Keyspace, options: RedisOptions) -> None:
        super().__init__(server, keys, options)
        self.lease = options.lease_seconds
        self._stream_claim = Script("stream_claim")
        self._stream_settle = Script("stream_settle")
        self._stream_count = Script("stream_count")
        self._sweep_at = 0.0

    def _consumer(self) -> str:
        return f"{self._current_owner()}~{int(self._options.lease_seconds * 1000)}"

    # ---- queues

    def size(self, queue: str) -> int:
        self._check_open()
        with mapped(f"size of queue {queue!r}"):
            return int(self._server.script(self._stream_count, self._keys.lists(queue), [0]))

    def purge(self, queue: str) -> int:
        self._check_open()
        with mapped(f"purge queue {queue!r}"):
            return int(self._server.script(self._stream_count, self._keys.lists(queue), [1]))

    def _drop(self, queue: str, doing: str, also: Sequence[Command]) -> int:
        count = self.purge(queue)
        base = self._keys.base(queue)
        commands: list[tuple[str, Command]] = [(base, ("DEL", *self._keys.lists(queue)))]
        commands += [(base, command) for command in also]
        with mapped(doing):
            self._strict(self._server.pipeline(commands))
        return count

    # ---- messages

    def _append_to(self, queue: str, priority: int) -> tuple[str, ...]:
        return "XADD", self._keys.list_for(queue, priority), "*", "m"

    def _claim_group(
        self,
        group: Sequence[str],
        limit: int,
        wrong: list[bytes],
        keep: tuple[int, int] = (-1, -1),
    ) -> list[Claim]:
        names: list[str] = []
        streams: list[tuple[str, str]] = []
        for queue in group:
            of_queue = self._keys.lists(queue)
            streams += [(queue, stream) for stream in of_queue]
            names += [
                self._keys.of_queue("idle", queue),
                self._keys.of_queue("delayed", queue),
                *of_queue,
            ]
        registered = self._registrations(group)
        for queue in registered:
            names += [self._keys.of_queue("idle", queue), self._keys.of_queue("sentry", queue)]
        consumer = self._consumer()
        sweeping = keep == (-1, -1) and time.monotonic() >= self._sweep_at
        rows, wrong_keys, soon = self._server.script(
            self._stream_claim,
            names,
            [
                limit,
                consumer,
                len(group),
                len(self._keys.steps),
                len(registered),
                self._keys.wake_channel,
                int(sweeping),
                *keep,
                *self._keys.steps,
            ],
        )
        if sweeping:
            pause = self._sweep_interval
            if soon >= 0:
                pause = min(pause, max(soon / 1000, 0.02) + 0.005)
            self._sweep_at = time.monotonic() + pause
        wrong += wrong_keys
        claims: list[Claim] = []
        for index in range(0, len(rows), 4):
            number, entry, count, raw = rows[index : index + 4]
            queue, stream = streams[number - 1]
            message = parse(raw)
            claim = StreamClaim(
                queue,
                message or {},
                stream,
                entry.decode(),
                int(count),
                consumer,
                raw,
                (number - 1) % len(self._keys.steps),
            )
            if message is None:
                quarantine = self._keys.of_queue("quarantine", queue)
                self._server.call(self._keys.base(queue), "LPUSH", quarantine, raw)
                self._end([], [claim], [])
                self._report_bad(queue, raw)
            else:
                claims.append(claim)
        for queue in {claim.queue for claim in claims} & self._expiry.keys():
            self._server.pipeline(
                [(self._keys.base(queue), c) for c in self._touch(queue, self._expiry[queue])]
            )
        if rows:
            self.waker.signed_off(registered)
        return claims

    @property
    def _sweep_interval(self) -> float:
        return min(max(self._options.lease_seconds / 4, 0.05), 15.0)

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        self._check_open()
        with mapped("settle messages"):
            self._end([], [*acks, *rejects], releases)

    def renew(self, claims: Sequence[Claim]) -> None:
        self._check_open()
        with mapped("renew leases"):
            self._keep_consumed()
            self._end(claims, [], [])

    def _end(
        self, renewals: Sequence[Claim], acks: Sequence[Claim], releases: Sequence[Claim]
    ) -> None:
        sorted_out: dict[tuple[str, str, str], list[list[StreamClaim]]] = {}
        for kind, claims in enumerate((renewals, acks, releases)):
            for claim in claims:
                assert isinstance(claim, StreamClaim)
                key = (claim.stream, claim.queue, claim.consumer)
                sorted_out.setdefault(key, [[], [], []])[kind].append(claim)
        for (stream, queue, consumer), kinds in sorted_out.items():
            arguments: list[Any] = [consumer, *map(len, kinds), self._keys.wake_channel]
            for claims_of_kind in kinds:
                for each in claims_of_kind:
                    arguments += (each.entry, each.count)
            self._repeatable(
                self._stream_settle, [stream, self._keys.of_queue("sentry", queue)], arguments
            )

    def sweep_if_due(self) -> int:
        """Nothing by itself: claims look for owners that are gone."""
        return 0

    def is_armed(self, queues: Sequence[str]) -> bool:
        # Claims look for owners that are gone.
        return time.monotonic() < self._sweep_at and super().is_armed(queues)

    def _look_for_abandoned(self) -> float:
        now = time.monotonic()
        if now >= self._sweep_at:
            # A claim looks; the dispatcher makes one when it is woken.
            self.waker.ring()
            return self._sweep_interval
        return self._sweep_at - now
