"""A transport as a third party would write it, whose connects fail as a script says."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from kombu import Connection
from kombu.transport.base import StdChannel, Transport


class Unreachable(Exception):
    """The broker can't be reached."""


class Refused(Exception):
    """The broker refuses an operation."""


class ScriptedChannel(StdChannel):
    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Script:
    """What happens at each connect, and what did happen.

    Arguments:
        failures: what each connect raises; ``None`` lets it succeed, and so does the end.
    """

    def __init__(self, *failures: BaseException | None) -> None:
        self.failures = deque(failures)
        self.hosts: list[str | None] = []
        self.times: list[float] = []
        self.timeouts: list[float] = []
        self.open: set[ScriptedLink] = set()
        self.abandoned: list[Any] = []

    def connection(self, hostname: Any = "broker", **arguments: Any) -> Connection:
        """A connection that follows this script."""
        script = self

        class Scripted(ScriptedTransport):
            pass

        Scripted.script = script
        return Connection(hostname, transport=Scripted, **arguments)


class ScriptedLink:
    def __init__(self, client: Connection) -> None:
        self.client = client
        self.connected = True
        self.channel_errors = (Refused,)


class ScriptedTransport(Transport):
    connection_errors = (Unreachable,)
    channel_errors = (Refused,)
    recoverable_connection_errors = (Unreachable,)
    recoverable_channel_errors = (Refused,)
    default_port = 4242
    driver_type = "scripted"
    script: Script

    def establish_connection(self) -> ScriptedLink:
        self.script.hosts.append(self.client.hostname)
        self.script.times.append(time.monotonic())
        self.script.timeouts.append(self.client.connect_timeout)
        failure = self.script.failures.popleft() if self.script.failures else None
        if failure is not None:
            raise failure
        link = ScriptedLink(self.client)
        self.script.open.add(link)
        return link

    def close_connection(self, connection: ScriptedLink) -> None:
        connection.connected = False
        self.script.open.discard(connection)

    def abandon_connection(self, connection: ScriptedLink) -> None:
        self.script.abandoned.append(connection)

    def create_channel(self, connection: ScriptedLink) -> ScriptedChannel:
        return ScriptedChannel(connection)

    def verify_connection(self, connection: ScriptedLink) -> bool:
        return connection.connected
