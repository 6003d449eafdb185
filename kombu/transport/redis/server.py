"""The server, or the cluster, behind a connection: where a key lives and how to reach it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kombu.transport.redis.link import Command, Script
from kombu.transport.redis.node import Node


class Server:
    """A single server (also one that a sentinel names). Raises redis-py's exceptions.

    Arguments:
        node: the server.
    """

    #: Whether keys are spread over several servers.
    is_cluster = False

    def __init__(self, node: Node) -> None:
        self._node = node

    def node(self, key: str) -> Node:
        """The server a key lives on."""
        return self._node

    def any_node(self) -> Node:
        """A server for what has no key, always the same one while it lives."""
        return self._node

    def nodes(self) -> list[Node]:
        """All servers in use."""
        return [self._node]

    def call(self, key: str, *command: str | bytes | int | float) -> Any:
        """Send one command about ``key``; its reply."""
        return self._node.link.call(*command)

    def pipeline(self, commands: Sequence[tuple[str, Command]]) -> list[Any]:
        """Send commands, each with the key it is about; replies, error replies among them."""
        return self._node.link.exchange([command for _, command in commands])

    def script(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int | float],
    ) -> Any:
        """Run a script where its keys live (see :meth:`Link.script`)."""
        return self._node.link.script(script, keys, arguments)

    def close(self) -> None:
        """Close all connections."""
        self._node.close()
