"""NATS JetStream as a store of leased messages.

A queue is a stream that forgets what is acknowledged. Each priority in it is a subject with a
durable consumer that all clients pull from: to pull is to claim, the consumer's ack wait is
the lease, "in progress" renews it. What is released stands on a subject of its own, which
comes first (see :class:`~.names.Level`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Iterable, Sequence
from typing import Any

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import NoKeysError, NoStreamResponseError

from kombu.transport.features import SHARED_STORE
from kombu.transport.nats.delays import Delays
from kombu.transport.nats.errors import ERRORS
from kombu.transport.nats.holding import ACK, GIVE_BACK, GIVE_UP, RENEW, Holding
from kombu.transport.nats.levels import Levels
from kombu.transport.nats.link import Link
from kombu.transport.nats.names import Level
from kombu.transport.nats.streams import Streams, erase, header
from kombu.transport.sweeping import Sweep
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.store import Claim, Put, QueueSpec, raise_failed
from kombu.transport.waking import Looking, Waker, WakerStore
from kombu.utils.json import dumps, loads
from kombu.utils.loggers import get_logger

logger = get_logger(__name__)

DELIVERIES = "Kombu-Deliveries"
MESSAGE_ID = "Nats-Msg-Id"
#: How many messages one request of a purge takes.
PURGE_WINDOW = 500


class NatsStore(WakerStore):
    """Queues of one virtual host.

    Arguments:
        streams: what stands on the server; this store closes their link.
        queues: key-value bucket of declarations.
        deduplicate: let the server drop messages whose ``message_id`` it had before.
    """

    features = dataclasses.replace(
        SHARED_STORE,
        event_loop=True,
        max_length_bytes=False,
    )
    claim_window = 100

    def __init__(self, streams: Streams, queues: Any, deduplicate: bool) -> None:
        self.streams = streams
        self.link: Link = streams.link
        self.lease = streams.lease
        self.deduplicate = deduplicate
        self.bucket = queues
        self._levels = Levels()
        self._bells: dict[str, Subscription] = {}
        self._leases = Sweep()
        self._delays = Delays(streams, streams.lease / 3)
        self.waker = Waker(Looking(self._may_have_work), self._leases, self._delays.sweep)
        self.link.on_lost = self.waker.ring
        with ERRORS.mapped("prepare delayed delivery"):
            self.link.run(self._delays.open())
            self.link.subscribe(streams.names.delay_bell, self._delays.told)

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        declaration = dumps({"name": queue.name, "arguments": dict(queue.arguments)}).encode()

        async def work() -> None:
            await self.streams.make_queue(queue.name)
            await self.bucket.put(self.streams.names.queue_key(queue.name), declaration)

        with ERRORS.mapped(f"declare queue {queue.name!r}"):
            self.link.run(work())

    def delete(self, queue: str) -> int:
        names = self.streams.names
        bell = self._bells.pop(queue, None)

        async def work() -> int:
            await erase(self.link, names, names.queue_key(queue))
            count = await self.streams.delete(queue)
            if bell is not None:
                await bell.unsubscribe()
            return count

        self._levels.forget(queue)
        with ERRORS.mapped(f"delete queue {queue!r}"):
            count = self.link.run(work())
        self.link.forget(names.stream(queue))
        return count

    def exists(self, queue: str) -> bool:
        with ERRORS.mapped(f"look up queue {queue!r}"):
            return self.link.run(self.streams.counts(queue)) is not None

    def size(self, queue: str) -> int:
        return self._counts(queue)[0]

    def held(self, queue: str) -> int:
        return self._counts(queue)[1]

    def _counts(self, queue: str) -> tuple[int, int]:
        with ERRORS.mapped(f"count queue {queue!r}"):
            return self.link.run(self.streams.counts(queue)) or (0, 0)

    def purge(self, queue: str) -> int:
        async def drop(claims: Iterable[Claim]) -> None:
            for claim in claims:
                await self.link.client.publish(claim.receipt.reply, GIVE_UP)
            await self.link.flush()

        count = 0
        self._levels.forget(queue)  # so that it is looked at anew
        while claims := self.claim([queue], PURGE_WINDOW):
            count += len(claims)
            with ERRORS.mapped(f"purge queue {queue!r}"):
                self.link.run(drop(claims))
        return count

    def queue_names(self) -> Sequence[str]:
        async def work() -> list[str]:
            found = await self.bucket.keys(filters=[self.streams.names.queue_key("*")])
            return [str(parse_name((await self.bucket.get(key)).value)) for key in found]

        with ERRORS.mapped("list queues"):
            try:
                return self.link.run(work())
            except NoKeysError:
                return []

    # ---- messages

    def put(self, puts: Sequence[Put]) -> None:
        with ERRORS.mapped(f"put {len(puts)} message(s)"):
            raise_failed(puts, self.link.run(self._put(puts)))

    async def _put(self, puts: Sequence[Put]) -> dict[int, BaseException]:
        """Publish all, then wait for all; the error of each that is not stored."""
        failed = await self._publish(list(enumerate(puts)))
        homeless = [at for at, exc in failed.items() if isinstance(exc, NoStreamResponseError)]
        if homeless:
            for queue in dict.fromkeys(puts[at].queue for at in homeless):
                await self.streams.make_queue(queue)
            for at in homeless:
                del failed[at]
            failed.update(await self._publish([(at, puts[at]) for at in homeless]))
        now = time.time()
        rung = {
            (put.queue, Level(put.priority))
            for at, put in enumerate(puts)
            if at not in failed and not is_delayed(put, now)
        }
        for queue, level in rung:
            await self._ring(queue, level)
        return failed

    async def _publish(self, puts: Sequence[tuple[int, Put]]) -> dict[int, BaseException]:
        names, now = self.streams.names, time.time()
        failed: dict[int, BaseException] = {}
        sent: dict[int, asyncio.Future[Any]] = {}
        for at, put in puts:
            headers: dict[str, str] = {}
            subject = names.subject(put.queue, Level(put.priority))
            if is_delayed(put, now):
                subject = names.delayed_subject
                headers.update(self._delays.headers(put))
            message_id = put.message["properties"].get("message_id")
            if self.deduplicate and message_id:
                headers[MESSAGE_ID] = f"{put.queue}:{message_id}"
            try:
                sent[at] = await self.link.jetstream.publish_async(
                    subject, dumps(put.message).encode(), headers=headers or None
                )
            except NatsError as exc:
                failed[at] = exc
        if sent:
            await asyncio.wait(sent.values(), timeout=self.link.timeout)
        for at, future in sent.items():
            error = failure(future)
            if error is not None:
                failed[at] = error
        for at, put in puts:
            if at not in failed and is_delayed(put, now):
                due = repr(put.ready_at).encode()
                await self._delays.told(due)
                await self.link.client.publish(names.delay_bell, due)
        return failed

    async def _ring(self, queue: str, level: Level) -> None:
        self._levels_rung(queue, level)
        await self.link.client.publish(self.streams.names.bell(queue), str(level).encode())

    def _levels_rung(self, queue: str, level: Level) -> None:
        if self._levels.knows(queue):
            self._levels.rung(queue, level)
        self.waker.ring()

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        claims: list[Claim] = []
        with ERRORS.mapped("claim messages"):
            self._leases.run(self._look_again)
            self._delays.run()
            for queue in queues:
                if not self._levels.knows(queue):
                    self._listen(queue)
                for level, mark in self._levels.worth_a_pull(queue):
                    if len(claims) >= limit:
                        return claims
                    wanted = limit - len(claims)
                    claims += self.link.run(self._claim(queue, level, mark, wanted))
        return claims

    def _look_again(self) -> float:
        """What a dead owner held announces itself by no bell."""
        self._levels.forget_all()
        return self.streams.lease / 3

    def _listen(self, queue: str) -> None:
        """From now on hear the queue's bell; see what is there already."""
        if queue not in self._bells:

            async def told(data: bytes) -> None:
                self._levels_rung(queue, Level.parse(data.decode()))

            self._bells[queue] = self.link.subscribe(self.streams.names.bell(queue), told)
        levels = self.link.run(self.streams.levels(queue))
        self._levels.found(queue, levels or set())

    async def _claim(self, queue: str, level: Level, mark: int, limit: int) -> list[Claim]:
        stream = self.streams.names.stream(queue)
        if not self._levels.is_made(queue, level):
            await self.streams.make_level(queue, level)
            self.lease = self.streams.lease
            self._levels.made(queue, level)
        since = time.monotonic()
        found = await self.link.pull(stream, str(level), limit)
        if found is None:
            self._levels.forget(queue)  # deleted meanwhile, and perhaps made anew
            return []
        if len(found) < limit:
            self._levels.ran_dry(queue, level, mark)
        claims = [self._to_claim(queue, message, since) for message in found]
        return [claim for claim in claims if claim is not None]

    def _to_claim(self, queue: str, message: Msg, since: float) -> Claim | None:
        holding = Holding(message, self.streams.lease, since)
        envelope = parse(message.data)
        if envelope is None:
            self._quarantine(queue, message)
            return None
        deliveries = holding.deliveries + int(header(message, DELIVERIES) or 0)
        return Claim(queue, envelope, holding, deliveries > 0, deliveries)

    def _quarantine(self, queue: str, message: Msg) -> None:
        """Move what is no message of ours to where no consumer meets it again."""
        names = self.streams.names

        async def work() -> None:
            await self.streams.make(names.quarantine_stream, names.quarantine("*"))
            await self.link.jetstream.publish(names.quarantine(queue), message.data)
            await self.link.client.publish(message.reply, ACK)

        task = asyncio.get_running_loop().create_task(work())
        task.add_done_callback(lambda done: self._quarantined(queue, done))

    def _quarantined(self, queue: str, done: asyncio.Task[None]) -> None:
        stream = self.streams.names.quarantine_stream
        exc = None if done.cancelled() else done.exception()
        if exc is None:
            logger.error("entry of queue %r is no message: moved to stream %s", queue, stream)
        else:
            # It comes again when its lease runs out.
            logger.error("entry of queue %r is no message; moving it failed: %s", queue, exc)

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        words = [(claim, ACK) for claim in acks] + [(claim, GIVE_UP) for claim in rejects]
        words = [(claim, word) for claim, word in words if claim.receipt.is_ours]
        given_back = [claim for claim in releases if claim.receipt.is_ours]
        if not words and not given_back:
            return
        with ERRORS.mapped(f"settle {len(words) + len(given_back)} message(s)"):
            self.link.run(self._settle(words, given_back))

    async def _settle(
        self, words: Sequence[tuple[Claim, bytes]], releases: Sequence[Claim]
    ) -> None:
        for claim, word in words:
            await self._say(claim, word)
        back = sorted(releases, key=lambda claim: claim.receipt.sequence)
        await asyncio.gather(*map(self._give_back, back))  # sent in this order
        await self.link.flush()
        for queue, level in {(c.queue, returned_level(c)) for c in releases}:
            await self._ring(queue, level)

    async def _say(self, claim: Claim, word: bytes) -> None:
        await self.link.client.publish(claim.receipt.reply, word)
        claim.receipt.end()

    async def _give_back(self, claim: Claim) -> None:
        """A copy on the level of what returned, then the original goes: so that it counts as
        ready. What returns for the second time is there already, and keeps its place."""
        if claim.receipt.level.returned:
            await self._say(claim, GIVE_BACK)
            return
        subject = self.streams.names.subject(claim.queue, returned_level(claim))
        headers = {DELIVERIES: str(claim.deliveries + 1)}
        try:
            await self.link.jetstream.publish(
                subject, dumps(claim.message).encode(), headers=headers
            )
        except NoStreamResponseError:
            return  # its queue was deleted
        await self._say(claim, ACK)

    def renew(self, claims: Sequence[Claim]) -> None:
        async def work() -> None:
            for claim in ours:
                await self.link.client.publish(claim.receipt.reply, RENEW)
            await self.link.flush()

        ours = [claim for claim in claims if claim.receipt.is_ours]
        if not ours:
            return
        with ERRORS.mapped(f"renew {len(ours)} lease(s)"):
            begun = time.monotonic()
            self.link.run(work())
        for claim in ours:
            claim.receipt.renewed(begun)

    # ---- waking

    def _may_have_work(self, queues: Sequence[str]) -> bool:
        levels = self._levels
        return any(not levels.knows(queue) or levels.worth_a_pull(queue) for queue in queues)

    def wait(self, queues: Sequence[str], timeout: float | None) -> bool:
        with ERRORS.mapped("wait for messages"):
            self.link.check()
            return super().wait(queues, timeout)

    def arm(self, queues: Sequence[str]) -> None:
        with ERRORS.mapped("listen for messages"):
            for queue in queues:
                if not self._levels.knows(queue):
                    self._listen(queue)
        super().arm(queues)

    def close(self) -> None:
        self.link.close()
        self.waker.close()


def is_delayed(put: Put, now: float) -> bool:
    """Whether a message is to wait."""
    return put.ready_at is not None and put.ready_at > now


def returned_level(claim: Claim) -> Level:
    """Where a claim goes when it is given back."""
    level: Level = claim.receipt.level
    return level._replace(returned=True)


def failure(future: asyncio.Future[Any]) -> BaseException | None:
    """Why a publish is not confirmed."""
    if not future.done():
        future.cancel()
        return NatsTimeoutError()
    return future.exception()


def parse_name(declaration: bytes | None) -> str:
    """The name in a queue's declaration."""
    return str(loads(declaration or b"{}").get("name", ""))
