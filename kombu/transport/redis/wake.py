"""Waking owners that wait for messages, without polling and without a herd.

Of all owners that wait for a queue one is its sentry: the server tracks the lists it has
read (CLIENT TRACKING) and tells its listener of the first push from anybody. The sentry
claims; the claim hands the watch on to the next idle owner, and calls as many more as there
are messages left. So one message wakes two owners, however many wait. See ``sentry.lua``.

What wakes an owner is set up on two connections: commands are tracked on one, announced on
the other. Losing either undoes it, so a wait ends when either is closed, and what was set up
while one was being replaced is set up again.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence

from redis import exceptions

from kombu.transport.redis.bell import Bell
from kombu.transport.redis.keys import Keyspace
from kombu.transport.redis.listener import INVALIDATE, Heard
from kombu.transport.redis.readiness import new_poll
from kombu.transport.redis.registration import Registration
from kombu.transport.redis.server import Server

#: Shortest and longest pause between looks where the server can't wake us, in seconds.
_BACKOFF = (0.001, 1.0)

#: Longest pause between two looks in a cluster, where a slot that moves takes its sentry along.
_CLUSTER_TICK = 5.0

#: Told to hearers when a connection was lost: what they know may be out of date.
LOST = Heard(b"", None)

#: Given a message of a listener: whether it was meant for this hearer.
Hearer = Callable[[Heard], bool]


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
        self._server, self._keys = server, keys
        self._tick = min(tick, _CLUSTER_TICK) if server.is_cluster else tick
        self._enabled = enabled
        self._bell = Bell()
        self._lock = threading.RLock()
        self._hearers: list[Hearer] = []
        self._armed: frozenset[str] = frozenset()
        self._armed_until = 0.0
        self._due: float | None = None
        self._pause = _BACKOFF[0]
        self._rung = 0
        #: Where this owner is registered as waiting.
        self.registration = Registration(server, keys, owner, self._tick, script)

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
                self._lost()
        return self._rung > 0

    def _notice_cuts(self) -> None:
        """Give up command connections that the server has closed."""
        for node in self._server.nodes():
            if node.link.drop_if_cut():
                self._lost()

    def _lost(self) -> None:
        for hearer in self._hearers:
            hearer(LOST)
        self._wake_up()

    def _take(self, heard: Heard) -> None:
        if any(hearer(heard) for hearer in self._hearers):
            return
        announced = heard.data if heard.subscription == INVALIDATE else None
        if announced is not None and not self.registration.concerns(announced):
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

    def signed_off(self, queues: Iterable[str]) -> None:
        """This owner is at work: the server has taken it off the lists of these queues."""
        with self._lock:
            self._armed = frozenset()
            self.registration.queues.difference_update(queues)

    def forget(self) -> None:
        """In a forked child, which is another owner: nothing is registered."""
        with self._lock:
            self._armed = frozenset()
            self.registration.queues.clear()

    # ---- arming

    def arm(self, queues: Sequence[str]) -> bool:
        """Register as waiting for ``queues``; whether there is work already."""
        with self._lock:
            if not queues:
                # Nobody is to rely on us to watch what we don't wait for.
                self.registration.resign(list(self.registration.queues))
                return False
            if not self._enabled or not self.registration.listen(queues):
                return self._look(queues)
            wanted = frozenset(queues)
            now = time.monotonic()
            ran_out = now >= self._armed_until
            over = ran_out or (self._due is not None and now >= self._due)
            if wanted <= self._armed and not over and self.registration.holds(queues):
                return False
            standing = self.registration.register(queues, look=ran_out)
            self._armed = frozenset() if standing.work else wanted
            pause = self._tick if standing.look is None else min(standing.look, self._tick)
            self._armed_until = now + pause
            self._due = None if standing.due is None else now + standing.due
            return standing.work

    def _look(self, queues: Sequence[str]) -> bool:
        """Where nobody wakes us: whether there is something now."""
        now = time.monotonic()
        if now < self._armed_until and self._armed == frozenset(queues):
            return False
        found = False
        for group in self._keys.grouped(queues):
            ready, *_ = self.registration.sign_on(group, True, seconds=0.001)
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
            # Once more after arming: setting up reads what has arrived meanwhile.
            if self.hear() or self.arm(queues) or self.hear():
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
            retirements = [node.listener.retires_in for node in self._server.nodes()]
            pauses += [seconds for seconds in retirements if seconds is not None]
            self._sleep(max(0.0, min(pauses)))
            self._notice_cuts()
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
        poll = new_poll()
        for descriptor in self.filenos():
            poll.register(descriptor, select.POLLIN)
        for node in self._server.nodes():
            node.link.watch(poll)
        poll.poll(min(seconds, 3600.0) * 1000 + 0.999)

    def filenos(self) -> list[int]:
        """Descriptors that become readable when there may be work."""
        self._bell.after_fork()
        found = [self._bell.reader, *(node.listener.fileno() for node in self._server.nodes())]
        return [descriptor for descriptor in found if descriptor >= 0]

    @property
    def descriptors_version(self) -> Hashable:
        """Changes when one of :meth:`filenos` is another descriptor, perhaps of the same number."""
        return tuple(
            (id(node), node.listener.generation, node.listener.is_open)
            for node in self._server.nodes()
        )

    def arm_descriptors(self, queues: Sequence[str]) -> None:
        """Register as waiting; when there is work already a descriptor is readable at once."""
        self._notice_cuts()
        if self._armed and time.monotonic() >= self._armed_until:
            self._check()
        if self.arm(queues) or self.hear():
            self._bell.ring()

    def is_armed(self, queues: Sequence[str]) -> bool:
        """Whether it was armed for ``queues``, which still stands, and no look is due."""
        self._notice_cuts()
        if self.hear() or not self._enabled:
            return False
        now = time.monotonic()
        if now >= self._armed_until or (self._due is not None and now >= self._due):
            return False
        return self._armed.issuperset(queues) and self.registration.holds(queues)

    def heard(self) -> bool:
        """Read what made a descriptor readable; whether there may be work."""
        rang = self._bell.answered()
        called = self.hear()
        with self._lock:
            self._rung = 0
        return rang or called

    def interrupt(self) -> None:
        """End a wait that is under way, or the next one."""
        self._bell.ring()

    def close(self) -> None:
        """Free the descriptors."""
        self._bell.close()
