"""One ZooKeeper session: bounded calls, and the ephemeral node that says its owner lives."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import NodeExistsError, NoNodeError

from kombu.transport.zookeeper.errors import ERRORS
from kombu.transport.zookeeper.paths import Paths
from kombu.transport.zookeeper.watching import Watch, WatchedReads
from kombu.utils.deadlines import time_left


class Session:
    """A started client; every call on it ends within ``limit`` seconds.

    Arguments:
        client: not started yet; this object starts and stops it.
        limit: seconds any one request may take.
    """

    def __init__(self, client: KazooClient, paths: Paths, limit: float) -> None:
        self.client = client
        self.paths = paths
        self.limit = limit
        self.owner = ""
        self.on_change: Callable[[], None] = lambda: None
        self.reads = WatchedReads()
        self._pid = os.getpid()
        self._owner_lock = threading.Lock()

    def start(self, connect_timeout: float) -> None:
        """Connect and make the nodes that everything else stands on.

        Raises:
            RecoverableConnectionError: no server answered within ``connect_timeout`` seconds.
        """
        with ERRORS.mapped("connect to ZooKeeper"):
            try:
                self.client.start(timeout=connect_timeout)
                for path in (
                    self.paths.owners,
                    self.paths.claims,
                    self.paths.delayed,
                    self.paths.exchanges,
                    self.paths.queues,
                    self.paths.quarantine,
                ):
                    self.call(self.client.ensure_path_async(path))
            except BaseException:
                self.stop()  # else its thread would keep the session for ever
                raise
        self.client.add_listener(self._on_state)

    def _on_state(self, state: str) -> None:
        if state == KazooState.LOST:
            self.owner = ""  # the next claim is made under a new name
        self.reads.clear()
        self.on_change()

    def ensure_owner(self) -> str:
        """Name under which messages are claimed; its node lives as long as the session."""
        with self._owner_lock:
            if not self.owner:
                owner = f"{os.getpid()}-{uuid4().hex[:12]}"
                # In this order: claims without a living owner are taken for orphans.
                self.call(
                    self.client.create_async(f"{self.paths.owners}/{owner}", b"", ephemeral=True)
                )
                self.call(self.client.create_async(f"{self.paths.claims}/{owner}", b""))
                self.owner = owner
            return self.owner

    def call(self, pending: Any) -> Any:
        """Wait for an asynchronous result of the client, no longer than the limits."""
        left = time_left()
        return pending.get(timeout=self.limit if left is None else min(left, self.limit))

    def create(self, path: str, data: bytes = b"") -> bool:
        """Make a persistent node; whether it was not there before."""
        try:
            self.call(self.client.create_async(path, data, makepath=True))
        except NodeExistsError:
            return False
        return True

    def children(self, path: str, watch: Callable[[Any], None] | None = None) -> list[str]:
        """Names below a node, none if it is not there; then it is its making that is watched."""
        while True:
            try:
                return list(self.call(self.client.get_children_async(path, watch=watch)))
            except NoNodeError:
                if watch is None:
                    return []
                if self.call(self.client.exists_async(path, watch=watch)) is None:
                    return []

    def read(self, path: str) -> bytes | None:
        try:
            data, _stat = self.call(self.client.get_async(path))
        except NoNodeError:
            return None
        return bytes(data)

    def known(self, path: str) -> bytes | None:
        """As :meth:`read`, from memory while the server announces no change."""
        return self.reads.get(path, lambda watch: self._watched(path, watch))

    def _watched(self, path: str, watch: Watch) -> bytes | None:
        while True:
            try:
                data, _stat = self.call(self.client.get_async(path, watch=watch))
                return bytes(data)
            except NoNodeError:
                if self.call(self.client.exists_async(path, watch=watch)) is None:
                    return None  # the watch tells when it is made

    def delete_tree(self, path: str) -> int:
        """Remove a node with its children (one level); how many children there were."""
        names = self.children(path)
        pending = [self.client.delete_async(f"{path}/{name}") for name in names]
        gone = sum(not isinstance(self.outcome(result), Exception) for result in pending)
        self.outcome(self.client.delete_async(path))
        return gone

    def outcome(self, pending: Any) -> Any:
        """The result, or the exception where the node was not as expected."""
        try:
            return self.call(pending)
        except (NoNodeError, NodeExistsError) as exc:
            return exc

    def stop(self) -> None:
        if os.getpid() != self._pid:
            return
        self.client.remove_listener(self._on_state)
        self.client.stop()
        self.client.close()
