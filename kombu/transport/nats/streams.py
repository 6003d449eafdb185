"""Queues as JetStream streams, and the durable consumers that lease their messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    ConsumerInfo,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, NotFoundError

from kombu.transport.nats.link import Link
from kombu.transport.nats.names import Level, Names

#: JetStream's own way to say "no limit".
UNLIMITED = -1


class Streams:
    """What stands on the server, made when it is not there; its methods run in the client's loop.

    Arguments:
        link: the connection.
        names: of the virtual host.
        storage: file or memory.
        replicas: servers that keep each stream.
        lease: seconds a message is held back for the consumer that got it.
    """

    def __init__(self, link: Link, names: Names, storage: str, replicas: int, lease: float) -> None:
        self.link = link
        self.names = names
        self.storage = StorageType(storage)
        self.replicas = replicas
        self.lease = lease

    async def make(self, name: str, *subjects: str) -> None:
        """A stream that forgets what is acknowledged."""
        config = StreamConfig(
            name=name,
            subjects=list(subjects),
            retention=RetentionPolicy.WORK_QUEUE,
            storage=self.storage,
            num_replicas=self.replicas,
        )
        try:
            await self.link.jetstream.add_stream(config)
        except BadRequestError:
            # It is there, with other settings of another client's: used as it is.
            await self.link.jetstream.stream_info(name)

    async def make_queue(self, queue: str) -> None:
        """The stream of a queue."""
        await self.make(self.names.stream(queue), self.names.subject(queue, "*"))

    async def make_consumer(self, stream: str, name: str, subject: str) -> None:
        """A consumer that many clients pull from; each message goes to one of them.

        Should another client have made it with a shorter lease, that is the lease from now on.
        """
        try:  # making it would change it, and with it the leases of those who have it already
            found = await self.link.jetstream.consumer_info(stream, name)
        except NotFoundError:
            config = ConsumerConfig(
                durable_name=name,
                filter_subject=subject,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=self.lease,
                max_deliver=UNLIMITED,
                max_ack_pending=UNLIMITED,
            )
            found = await self.link.jetstream.add_consumer(stream, config)
        self.lease = min(self.lease, found.config.ack_wait or self.lease)

    async def make_level(self, queue: str, level: Level) -> None:
        """The consumer of one level of a queue."""
        await self.make_consumer(
            self.names.stream(queue), str(level), self.names.subject(queue, level)
        )

    async def levels(self, queue: str) -> set[Level] | None:
        """The levels that have messages, held ones included; ``None``: there is no such queue."""
        stream = self.names.stream(queue)
        try:
            info = await self.link.jetstream.stream_info(stream, subjects_filter=">")
        except NotFoundError:
            return None
        return {Level.parse(subject.rpartition(".")[2]) for subject in info.state.subjects or ()}

    async def counts(self, queue: str) -> tuple[int, int] | None:
        """How many messages are ready and how many are held; ``None``: there is no such queue."""
        stream = self.names.stream(queue)
        try:
            # In this order: what is acknowledged meanwhile must not count as ready.
            held = sum(each.num_ack_pending or 0 for each in await self._consumers(stream))
            info = await self.link.jetstream.stream_info(stream)
        except NotFoundError:
            return None
        return max(info.state.messages - held, 0), held

    async def _consumers(self, stream: str) -> Sequence[ConsumerInfo]:
        # One page holds 256, a queue has 20 at most.
        found: Sequence[ConsumerInfo] = await self.link.jetstream.consumers_info(stream)
        return found

    async def delete(self, queue: str) -> int:
        """Remove a queue; how many ready messages went with it."""
        counts = await self.counts(queue)
        if counts is None:
            return 0
        try:
            await self.link.jetstream.delete_stream(self.names.stream(queue))
        except NotFoundError:
            return 0
        return counts[0]


async def erase(link: Link, names: Names, key: str) -> None:
    """Take an entry out of the bucket of declarations; deleting it would leave a mark for ever."""
    subject = f"$KV.{names.bucket}.{key}"
    await link.jetstream.purge_stream(f"KV_{names.bucket}", subject=subject)


def header(message: Any, name: str) -> str | None:
    """One header of a received message."""
    value: str | None = (message.headers or {}).get(name)
    return value
