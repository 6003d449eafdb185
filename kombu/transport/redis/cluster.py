"""Redis Cluster: which node serves a key, and what to do when that changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis import exceptions
from redis.crc import key_slot

from kombu.transport.redis.link import Command, Script
from kombu.transport.redis.node import Node
from kombu.transport.redis.server import Server

logger = logging.getLogger("kombu.transport.redis")

#: Seconds during which a slot may be on the move before a command about it fails.
PATIENCE = 10.0

Address = tuple[str, int]


class Cluster(Server):
    """The masters of a cluster.

    A slot that is being moved is waited for, up to :data:`PATIENCE` seconds: our scripts name
    several keys, which a server serves only once the whole slot has arrived.

    Arguments:
        seeds: host and port of nodes to ask for the others.
        make_node: connects to an address.
    """

    is_cluster = True

    def __init__(self, seeds: Sequence[Address], make_node: Callable[[Address], Node]) -> None:
        self.known: list[Address] = list(dict.fromkeys(seeds))
        self._make_node = make_node
        self._nodes: dict[Address, Node] = {}
        self._slots: list[Address | None] = []
        self._lock = threading.RLock()

    # ---- who serves what

    def _node_at(self, address: Address) -> Node:
        with self._lock:
            node = self._nodes.get(address)
            if node is None:
                node = self._nodes[address] = self._make_node(address)
            return node

    def refresh(self) -> None:
        """Ask any node for the map of slots.

        Raises:
            redis-py's exception of the last node asked, when none answers.
        """
        failure: Exception | None = None
        with self._lock:
            for address in list(self.known):
                try:
                    rows = self._node_at(address).link.call("CLUSTER", "SLOTS")
                except (exceptions.ConnectionError, exceptions.TimeoutError) as exc:
                    failure = exc
                    continue
                slots: list[Address | None] = [None] * 16384
                masters: dict[Address, None] = {}
                for first, last, master, *_ in rows:
                    host = master[0].decode() if master[0] else address[0]
                    owner = (host or address[0], int(master[1]))
                    masters[owner] = None
                    slots[first : last + 1] = [owner] * (last - first + 1)
                self._slots = slots
                # Masters first, the others stay known: they may be masters again.
                self.known[:] = dict.fromkeys([*masters, *self.known])
                for gone in set(self._nodes) - set(masters) - {address}:
                    self._nodes.pop(gone).close()
                return
        raise failure or exceptions.ConnectionError("no node of the cluster is known")

    def node(self, key: str) -> Node:
        if not key:
            return self.any_node()
        if not self._slots:
            self.refresh()
        address = self._slots[key_slot(key.encode("utf-8", "surrogatepass"))]
        if address is None:
            # Ask again next time: it may be served by then.
            self._slots = []
            raise exceptions.ClusterDownError("CLUSTERDOWN Hash slot not served")
        return self._node_at(address)

    def any_node(self) -> Node:
        if not self._slots:
            self.refresh()
        return self._node_at(self.known[0])

    def nodes(self) -> list[Node]:
        return list(self._nodes.values())

    # ---- commands

    def _redirected(self, key: str, run: Callable[[Node, bool], Any]) -> Any:
        """Run on the node that serves ``key``, following what the cluster says."""
        deadline = time.monotonic() + PATIENCE
        pause = 0.005
        node, asking = self.node(key), False
        while True:
            try:
                return run(node, asking)
            except exceptions.MovedError:
                self.refresh()
                node, asking = self.node(key), False
            except exceptions.AskError as exc:
                node, asking = self._node_at((exc.host, exc.port)), True
            except (exceptions.TryAgainError, exceptions.ClusterDownError):
                if time.monotonic() > deadline:
                    raise
                self.refresh()
                node, asking = self.node(key), False
            except exceptions.ResponseError as exc:
                # A script met a key that has moved on already; it has changed nothing.
                if "non local key" not in str(exc) and "not served" not in str(exc):
                    raise
                if time.monotonic() > deadline:
                    raise exceptions.TryAgainError(str(exc)) from exc
            except (exceptions.ConnectionError, exceptions.TimeoutError):
                with self._lock:
                    self._slots = []
                raise
            if time.monotonic() > deadline:
                raise exceptions.TryAgainError("a slot of the cluster did not come to rest")
            time.sleep(pause)
            pause = min(pause * 2, 0.1)

    def call(self, key: str, *command: str | bytes | int | float) -> Any:
        def run(node: Node, asking: bool) -> Any:
            reply = node.link.exchange([("ASKING",), command] if asking else [command])[-1]
            if isinstance(reply, Exception):
                raise reply
            return reply

        return self._redirected(key, run)

    def pipeline(self, commands: Sequence[tuple[str, Command]]) -> list[Any]:
        by_node: dict[int, tuple[Node, list[int]]] = {}
        for index, (key, _) in enumerate(commands):
            node = self.node(key)
            by_node.setdefault(id(node), (node, []))[1].append(index)
        replies: list[Any] = [None] * len(commands)
        for node, indexes in by_node.values():
            found = node.link.exchange([commands[index][1] for index in indexes])
            for index, reply in zip(indexes, found, strict=True):
                replies[index] = reply
        return self._settled(commands, replies)

    def _settled(self, commands: Sequence[tuple[str, Command]], replies: list[Any]) -> list[Any]:
        """Repeat what was sent to a node that does not serve it any more."""
        if not any(_is_redirection(reply) for reply in replies):
            return replies
        within: list[int] | None = None
        for index, (key, command) in enumerate(commands):
            if command[0] == "MULTI":
                within = []
            elif command[0] == "EXEC" and within is not None:
                if isinstance(replies[index], Exception):
                    # Nothing of the transaction was done.
                    replies[index] = [self._again(*commands[each]) for each in within]
                    for each in within:
                        replies[each] = b"QUEUED"
                within = None
            elif within is not None:
                within.append(index)
            elif command[0] == "CLIENT":
                continue
            elif _is_redirection(replies[index]) or command[0] == "WAIT":
                # WAIT is about what was sent before over the same connection.
                replies[index] = self._again(key, command)
        return replies

    def _again(self, key: str, command: Command) -> Any:
        try:
            return self.call(key, *command)
        except exceptions.ResponseError as exc:
            return exc

    def script(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int | float],
    ) -> Any:
        return self._redirected(
            keys[0], lambda node, asking: node.link.script(script, keys, arguments, asking)
        )

    def close(self) -> None:
        with self._lock:
            nodes, self._nodes = self._nodes, {}
        for node in nodes.values():
            node.close()


def _is_redirection(reply: Any) -> bool:
    return isinstance(
        reply, (exceptions.AskError, exceptions.TryAgainError, exceptions.ClusterDownError)
    )
