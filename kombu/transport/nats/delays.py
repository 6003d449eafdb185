"""Delayed messages: a stream of their own, from which they are moved when their time has come.

Whoever sees one too early gives it back with the delay that is left, so that the server holds
it until then. A bell tells all clients when the next one is due, so that somebody comes by.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque

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
        self._expected = Expected()

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
        # Side by side, so that a server far away costs one round trip; they leave in their order.
        await asyncio.gather(*map(self._move, found))
        if found:
            await self.link.flush()
        if len(found) == AT_ONCE:
            return 0.0
        return min(self._expected.pause(time.time()), self._longest_pause)

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


class Expected:
    """When delayed messages are due, as far as is known here: unix times."""

    def __init__(self) -> None:
        self._times: set[float] = set()
        #: The earliest first.
        self._coming: list[float] = []
        #: Due, and not moved by this client; the earliest first.
        self._late: deque[float] = deque()

    def add(self, ready_at: float) -> None:
        """A message is due then."""
        if ready_at not in self._times:
            self._times.add(ready_at)
            heapq.heappush(self._coming, ready_at)

    def discard(self, ready_at: float) -> None:
        """What was due then is moved."""
        self._times.discard(ready_at)

    def pause(self, now: float) -> float:
        """Seconds until the next look is of use; infinite: none is expected.

        What was due and did not come was moved by another client, or the server gives it out a
        moment late: it is looked for again, each time after as long as it is late already.
        """
        times, coming, late = self._times, self._coming, self._late
        while coming and (coming[0] <= now or coming[0] not in times):
            late.append(heapq.heappop(coming))
        while late and (late[0] <= now - EXPECTED or late[0] not in times):
            times.discard(late.popleft())
        while late and late[-1] not in times:
            late.pop()
        pauses = [abs(now - ends[at]) for ends, at in ((late, -1), (coming, 0)) if ends]
        return max(min(pauses, default=float("inf")), AGAIN)
