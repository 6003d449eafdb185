"""Waking owners that wait for messages, without polling and without a herd.

Of all owners that wait for a queue one is its sentry: the server tracks the lists it has
read (CLIENT TRACKING) and tells its listener of the first push from anybody. The sentry
claims; the claim hands the watch on to the next idle owner, and calls as many more as there
are messages left. So one message wakes two owners, however many wait. See ``arm.lua``.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis import exceptions

from kombu.transport.redis.keys import Keyspace
from kombu.transport.redis.link import Script
from kombu.transport.redis.listener import INVALIDATE, Heard
from kombu.transport.redis.node import Node
from kombu.transport.redis.server import Server

#: Shortest and longest pause between looks where the server can't wake us, in seconds.
_BACKOFF = (0.001, 1.0)

#: Told to hearers when a listener lost its connection: what they know may be out of date.
LOST = Heard(b"", None)

#: Given a message of a listener: whether it was meant for this hearer.
Hearer = Callable[[Heard], bool]


class Bell:
    """Ends a ``poll`` from another thread."""

    def __init__(self) -> None:
        self._open()

    def _open(self) -> None:
        self._pid = os.getpid()
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)

    def ring(self) -> None:
        """Make the reader readable; ringing twice is ringing once."""
        self.after_fork()
        try:
            os.write(self._writer, b"!")
        except BlockingIOError:
            return

    def answered(self) -> bool:
        """Whether it rang; it is silent afterwards."""
        try:
            return bool(os.read(self.reader, 4096))
        except BlockingIOError:
            return False

    def after_fork(self) -> None:
        """A child must not share the parent's pipe."""
        if self._pid != os.getpid():
            self._open()

    def close(self) -> None:
        """Free the descriptors."""
        for descriptor in (self.reader, self._writer):
            os.close(descriptor)


class Waker:
    """Waits for messages on behalf of one owner.

    Arguments:
        server: where the queues are.
        keys: their names.
        owner: name of the owner, unique among all processes; called again after a fork.
        tick: seconds after which a registration is made anew and connections are checked.
        enabled: False: look in growing intervals instead of being woken.
        script: name of the one that registers.
    """

    def __init__(
        self,
        server: Server,
        keys: Keyspace,
        owner: Callable[[], str],
        tick: float,
        enabled: bool = True,
        script: str = "arm",
    ) -> None:
        self._server, self._keys, self._owner = server, keys, owner
        self._tick = tick
        self._enabled = enabled
        self._script = Script(script)
        self._bell = Bell()
        self._lock = threading.RLock()
        self._hearers: list[Hearer] = []
        self._armed: frozenset[str] = frozenset()
        self._armed_until = 0.0
        self._due: float | None = None
        self._watched: set[bytes] = set()
        self._pause = _BACKOFF[0]
        self._rung = 0
        #: Queues for which the server has this owner on its list of those that wait.
        self.registered: set[str] = set()

    @property
    def channel(self) -> str:
        """The channel that wakes this owner."""
        return self._keys.wake_channel + self._owner()

    def add_hearer(self, hearer: Hearer) -> None:
        """Also offer each message of the listeners to ``hearer``."""
        self._hearers.append(hearer)

    # ---- hearing

    def hear(self) -> bool:
        """Read what the listeners received, without blocking; whether there may be work."""
        for node in self._server.nodes():
            try:
                for heard in node.hear():
                    self._take(heard)
            except (exceptions.ConnectionError, exceptions.TimeoutError):
                # The next command finds out whether the server is back; till then look anew.
                for hearer in self._hearers:
                    hearer(LOST)
                self._wake_up()
        return self._rung > 0

    def _take(self, heard: Heard) -> None:
        if any(hearer(heard) for hearer in self._hearers):
            return
        announced = heard.data if heard.subscription == INVALIDATE else None
        if announced is not None and self._watched.isdisjoint(announced):
            # About something else that was read over this connection.
            return
        # A key changed, or another owner calls: the registration has to be made anew.
        self._wake_up()

    def _wake_up(self) -> None:
        with self._lock:
            self._armed = frozenset()
            self._rung += 1

    def ring(self) -> None:
        """Let the next wait return at once: there is work."""
        with self._lock:
            self._rung += 1

    def forget(self) -> None:
        """This owner is at work: the server has taken it off its lists."""
        with self._lock:
            self._armed = frozenset()
            self.registered.clear()

    # ---- arming

    def arm(self, queues: Sequence[str]) -> bool:
        """Register as waiting for ``queues``; whether there is work already."""
        with self._lock:
            if not self._can_wake(queues):
                return self._look(queues)
            wanted = frozenset(queues)
            now = time.monotonic()
            over = now >= self._armed_until or (self._due is not None and now >= self._due)
            if wanted <= self._armed and not over and self._is_listening():
                return False
            self._rung = 0
            work, due = self._register(queues)
            self._armed = frozenset() if work else wanted
            self._armed_until = now + self._tick
            self._due = None if due is None else now + due
            return work

    def _can_wake(self, queues: Sequence[str]) -> bool:
        if not self._enabled:
            return False
        channel = self.channel
        nodes: dict[int, Node] = {}
        for group in self._keys.grouped(queues):
            node = self._server.node(self._keys.base(group[0]))
            nodes[id(node)] = node
        return all(node.listen(channel) for node in nodes.values())

    def _is_listening(self) -> bool:
        return all(node.is_listening for node in self._server.nodes() if node.listener.is_open)

    def _register(self, queues: Sequence[str]) -> tuple[bool, float | None]:
        work, soonest = False, None
        self._watched = {
            name.encode("utf-8", "surrogatepass")
            for queue in queues
            for name in (*self._keys.lists(queue), self._keys.of_queue("delayed", queue))
        }
        sentry_ms = int(self._tick * 2500)
        for group in self._keys.grouped(queues):
            ready, due, mine = self._sign_on(group, sentry_ms)
            if ready:
                work = True
                continue
            self.registered.update(group)
            if due:
                soonest = float(due) if soonest is None else min(soonest, float(due))
            if mine:
                self._track([group[number - 1] for number in mine])
                # Once more, for what came before the server began to watch.
                ready, _, _ = self._sign_on(group, sentry_ms)
                work = work or bool(ready)
        return work, soonest

    def _sign_on(self, group: Sequence[str], sentry_ms: int) -> Any:
        names: list[str] = []
        for queue in group:
            names += [
                self._keys.of_queue("idle", queue),
                self._keys.of_queue("sentry", queue),
                self._keys.of_queue("delayed", queue),
                *self._keys.lists(queue),
            ]
        steps = len(self._keys.steps)
        return self._server.script(
            self._script,
            names,
            [self._owner(), len(group), steps, sentry_ms, self._keys.wake_channel],
        )

    def _track(self, queues: Sequence[str]) -> None:
        """Have the server announce what happens to these queues."""
        for group in self._keys.grouped(queues):
            base = self._keys.base(group[0])
            watched = [
                name
                for queue in group
                for name in (*self._keys.lists(queue), self._keys.of_queue("delayed", queue))
            ]
            replies = self._server.pipeline(
                [(base, ("CLIENT", "CACHING", "YES")), (base, ("EXISTS", *watched))]
            )
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply

    def _look(self, queues: Sequence[str]) -> bool:
        """Where nobody wakes us: whether there is something now."""
        now = time.monotonic()
        if now < self._armed_until and self._armed == frozenset(queues):
            return False
        found = False
        for group in self._keys.grouped(queues):
            ready, _, _ = self._sign_on(group, 1)
            found = found or bool(ready)
        self._pause = _BACKOFF[0] if found else min(self._pause * 2, _BACKOFF[1])
        self._armed = frozenset() if found else frozenset(queues)
        self._armed_until = now + self._pause
        self._due = None
        return found

    # ---- waiting

    def wait(
        self, queues: Sequence[str], timeout: float | None, chore: Callable[[], float]
    ) -> bool:
        """Sleep until there may be work (``True``), the time is over or somebody interrupts.

        Arguments:
            chore: run before each sleep; returns how many seconds it can wait to be run again.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._bell.after_fork()
        while True:
            if self._bell.answered():
                return False
            idle_for = chore()
            if self.hear() or (queues and self.arm(queues)):
                with self._lock:
                    self._rung = 0
                return True
            pauses = [max(idle_for, 0.0)]
            now = time.monotonic()
            if deadline is not None:
                if now >= deadline:
                    return False
                pauses.append(deadline - now)
            if queues:
                pauses.append(self._armed_until - now)
            if self._due is not None:
                pauses.append(self._due - now)
            self._sleep(max(0.0, min(pauses)))
            if self._due is not None and time.monotonic() >= self._due:
                self._armed = frozenset()
            if queues and time.monotonic() >= self._armed_until:
                self._check()

    def _check(self) -> None:
        """The registration ran out without a sound: make sure that somebody is there."""
        if self._enabled:
            for node in self._server.nodes():
                node.listener.check()

    def _sleep(self, seconds: float) -> None:
        poll = select.poll()
        for descriptor in self.filenos():
            poll.register(descriptor, select.POLLIN)
        poll.poll(min(seconds, 3600.0) * 1000 + 0.999)

    def filenos(self) -> list[int]:
        """Descriptors that become readable when there may be work."""
        self._bell.after_fork()
        found = [self._bell.reader, *(node.listener.fileno() for node in self._server.nodes())]
        return [descriptor for descriptor in found if descriptor >= 0]

    def arm_descriptors(self, queues: Sequence[str]) -> None:
        """Register as waiting; when there is work already a descriptor is readable at once."""
        if self.arm(queues):
            self._bell.ring()

    def heard(self) -> bool:
        """Read what made a descriptor readable; whether there may be work."""
        rang = self._bell.answered()
        called = self.hear()
        with self._lock:
            self._rung = 0
        return rang or called

    def next_look(self) -> float | None:
        """Monotonic time at which to arm again though nothing was heard."""
        if not self._armed:
            return None
        return self._armed_until if self._due is None else min(self._armed_until, self._due)

    def interrupt(self) -> None:
        """End a wait that is under way, or the next one."""
        self._bell.ring()

    def close(self) -> None:
        """Free the descriptors."""
        self._bell.close()
