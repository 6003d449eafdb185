"""Where an owner is registered as waiting, and what the server watches for it (``sentry.lua``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from kombu.transport.redis.keys import Keyspace
from kombu.transport.redis.link import Script
from kombu.transport.redis.node import Node
from kombu.transport.redis.server import Server

#: How often a registration is begun anew because a connection was replaced meanwhile.
_ATTEMPTS = 4

#: Seconds between two looks of an owner that another one watches for, times those that wait
#: like it: so a sentry that died is missed soon, and a crowd does not look often.
_PATIENCE = 5.0


class Standing(NamedTuple):
    """How things are after registering.

    Arguments:
        work: there is something to claim now.
        due: seconds until a delayed message is.
        look: seconds after which to look though nothing was heard; ``None``: no need to.
    """

    work: bool
    due: float | None = None
    look: float | None = None


class Registration:
    """Registers one owner as waiting for queues. Raises redis-py's exceptions.

    Arguments:
        server: where the queues are.
        keys: their names.
        owner: name of the owner; called again after a fork.
        tick: seconds after which a registration is made anew.
        script: name of the one that registers.
    """

    def __init__(
        self, server: Server, keys: Keyspace, owner: Callable[[], str], tick: float, script: str
    ) -> None:
        self._server, self._keys, self._owner = server, keys, owner
        self._tick = tick
        self._arm_script = Script(script)
        self._resign_script = Script("resign")
        self._watched: set[bytes] = set()
        #: Queues for which the server has this owner on its list of those that wait.
        self.queues: set[str] = set()

    @property
    def channel(self) -> str:
        """The channel that wakes this owner."""
        return self._keys.wake_channel + self._owner()

    def _nodes(self, queues: Sequence[str]) -> list[Node]:
        nodes: dict[int, Node] = {}
        for group in self._keys.grouped(queues):
            node = self._server.node(self._keys.base(group[0]))
            nodes[id(node)] = node
        return list(nodes.values())

    def listen(self, queues: Sequence[str]) -> bool:
        """Have the servers announce what changes; whether they can."""
        channel = self.channel
        return all(node.listen(channel) for node in self._nodes(queues))

    def holds(self, queues: Sequence[str]) -> bool:
        """Whether what was set up for these queues still stands."""
        return all(node.is_listening for node in self._nodes(queues))

    def concerns(self, names: Iterable[bytes]) -> bool:
        """Whether one of the keys is of a queue that is waited for."""
        return not self._watched.isdisjoint(names)

    # ---- signing on

    def register(self, queues: Sequence[str], look: bool) -> Standing:
        """Sign on for ``queues``, and off from all others.

        Arguments:
            look: look into the queues also where another owner watches: it may be gone.
        """
        gone = self.queues.difference(queues)
        if gone:
            self.resign(gone)
        for _ in range(_ATTEMPTS):
            if self.listen(queues):
                standing = self._attempt(queues, look)
                if standing is not None:
                    return standing
        # Connections come and go faster than they can be set up: claiming meets the reason.
        return Standing(True)

    def _attempt(self, queues: Sequence[str], look: bool) -> Standing | None:
        """``None``: a connection was replaced on the way, and what was set up on it is gone."""
        self._watched = {
            name.encode("utf-8", "surrogatepass")
            for queue in queues
            for name in self._watchable(queue)
        }
        due, pause = None, None
        for group in self._keys.grouped(queues):
            ready, wait, mine, crowd = self.sign_on(group, look)
            if ready:
                return Standing(True)
            self.queues.update(group)
            if wait:
                due = float(wait) if due is None else min(due, float(wait))
            if len(mine) < len(group):
                pause = max(pause or 0.0, _PATIENCE * max(int(crowd), 1))
            if mine:
                if not self._track([group[number - 1] for number in mine]):
                    return None
                # Once more, for what came before the server began to watch.
                ready, *_ = self.sign_on(group, look)
                if ready:
                    return Standing(True)
        return Standing(False, due, pause) if self.holds(queues) else None

    def sign_on(self, group: Sequence[str], look: bool, seconds: float | None = None) -> Any:
        """Run the script that registers (``arm.lua``) for queues that it can serve together.

        Arguments:
            seconds: how long a sentry stays one without showing up again.
        """
        names: list[str] = []
        for queue in group:
            names += [
                self._keys.of_queue("idle", queue),
                self._keys.of_queue("sentry", queue),
                *self._watchable(queue),
            ]
        lasts = self._tick * 2.5 if seconds is None else seconds
        return self._server.script(
            self._arm_script,
            names,
            [
                self._owner(),
                len(group),
                len(self._keys.steps),
                max(int(lasts * 1000), 1),
                self._keys.wake_channel,
                int(look),
            ],
        )

    def _watchable(self, queue: str) -> list[str]:
        return [self._keys.of_queue("delayed", queue), *self._keys.lists(queue)]

    def _track(self, queues: Sequence[str]) -> bool:
        """Have the server announce what happens to these queues; ``False``: begin anew."""
        for group in self._keys.grouped(queues):
            base = self._keys.base(group[0])
            node = self._server.node(base)
            watched = [name for queue in group for name in self._watchable(queue)]
            replies = self._server.pipeline(
                [(base, ("CLIENT", "CACHING", "YES")), (base, ("EXISTS", *watched))]
            )
            if not node.is_listening or self._server.node(base) is not node:
                return False
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return True

    # ---- signing off

    def resign(self, queues: Iterable[str]) -> None:
        """Sign off; who waits for the queues, too, takes the watch over."""
        gone = [queue for queue in queues if queue in self.queues]
        for group in self._keys.grouped(gone):
            names: list[str] = []
            for queue in group:
                names += [self._keys.of_queue("idle", queue), self._keys.of_queue("sentry", queue)]
            self._server.script(
                self._resign_script, names, [self._owner(), self._keys.wake_channel]
            )
            self.queues.difference_update(group)
