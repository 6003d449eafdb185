"""Delayed messages: a stream of their own, from which they are moved when their time has come.

Whoever sees one too early gives it back with the delay that is left, so that the server holds
it until then. A bell tells all clients when the next one is due, so that somebody comes by.
"""

from __future__ import annotations

import time

from nats.aio.msg import Msg
from nats.js.errors import NoStreamResponseError

from kombu.transport.nats.holding import ACK, GIVE_UP
from kombu.transport.nats.link import Link, delivery
from kombu.transport.nats.names import Level
from kombu.transport.nats.streams import Streams, header
from kombu.transport.sweeping import Sweep
from kombu.transport.virtual.store import Put

QUEUE = "Kombu-Queue"
PRIORITY = "Kombu-Priority"
READY_AT = "Kombu-Ready-At"
CONSUMER = "mover"
#: How many are moved before anything else is done.
AT_ONCE = 200
#: Seconds after which one that was due is looked for again, and how long it is expected.
AGAIN, EXPECTED = 0.02, 5.0


class Delays:
    """Keeps what must wait, for all clients of the virtual host.

    Arguments:
        streams: of the connection.
        longest_pause: seconds between two looks, for what no client knows of any more.
    """

    def __init__(self, streams: Streams, longest_pause: float) -> None:
        self.streams = streams
        self.link: Link = streams.link
        self.sweep = Sweep()
        self._longest_pause = longest_pause
        self._expected: set[float] = set()

    async def open(self) -> None:
        """Make what stands on the server."""
        names = self.streams.names
        await self.streams.make(names.delayed_stream, names.delayed_subject)
        await self.streams.make_consumer(names.delayed_stream, CONSUMER, names.delayed_subject)

    async def told(self, data: bytes) -> None:
        """A client put a message that is due then."""
        self._expect(float(data))

    def _expect(self, ready_at: float) -> None:
        self._expected.add(ready_at)
        self.sweep.within(ready_at - time.time())

    def headers(self, put: Put) -> dict[str, str]:
        """What a delayed message carries besides."""
        # Headers are ASCII: the queue is named by the token that stands in its subject.
        subject = self.streams.names.subject(put.queue, "*")
        return {
            QUEUE: subject.rpartition(".")[0],
            PRIORITY: str(put.priority),
            READY_AT: repr(put.ready_at),
        }

    def run(self) -> None:
        """Move what is due, if it may be time."""
        self.sweep.run(lambda: self.link.run(self._move_all()))

    async def _move_all(self) -> float:
        stream = self.streams.names.delayed_stream
        found = await self.link.pull(stream, CONSUMER, AT_ONCE)
        if found is None:
            await self.open()
            return 0.0
        for message in found:
            await self._move(message)
        if found:
            await self.link.flush()
        if len(found) == AT_ONCE:
            return 0.0
        now = time.time()
        self._expected = {at for at in self._expected if at > now - EXPECTED}
        if not self._expected:
            return self._longest_pause
        return min(max(min(self._expected) - now, AGAIN), self._longest_pause)

    async def _move(self, message: Msg) -> None:
        ready_at = float(header(message, READY_AT) or 0)
        left = ready_at - time.time()
        if left > 0:
            self._expected.add(ready_at)
            later = b'-NAK {"delay": %d}' % (left * 1e9)
            await self.link.client.publish(message.reply, later)
            return
        self._expected.discard(ready_at)
        level = Level(int(header(message, PRIORITY) or 0))
        subject = f"{header(message, QUEUE)}.{level}"
        # Should this client die before the next line, another's copy is known by this.
        tag = {"Nats-Msg-Id": f"delayed-{delivery(message)[3]}"}
        try:
            await self.link.jetstream.publish(subject, message.data, headers=tag)
        except NoStreamResponseError:
            await self.link.client.publish(message.reply, GIVE_UP)  # its queue was deleted
            return
        await self.link.client.publish(message.reply, ACK)
        bell = self.streams.names.bell_of(subject)
        await self.link.client.publish(bell, str(level).encode())
