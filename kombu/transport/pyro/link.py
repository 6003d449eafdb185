"""A client's connections to the broker process."""

from __future__ import annotations

import os
import threading
from typing import Any

from kombu.transport.pyro.library import Library


class Line:
    """One connection, used by one thread at a time.

    Arguments:
        library: Pyro.
        uri: of the broker.
        timeout: seconds any one call may take.
    """

    def __init__(self, library: Library, uri: str, timeout: float) -> None:
        self._proxy = library.proxy(uri, timeout)
        self._lock = threading.Lock()
        # Pyro5 lets one thread use a proxy, until another claims it; Pyro4 any.
        self._claim_ownership = getattr(self._proxy, "_pyroClaimOwnership", lambda: None)

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the broker."""
        with self._lock:
            self._claim_ownership()
            return getattr(self._proxy, method)(*arguments)

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            self._claim_ownership()
            self._proxy._pyroRelease()


class Link:
    """A session with the broker: one line for calls, one for waiting.

    Arguments:
        library: Pyro.
        name_server: its host and port.
        name: of the broker.
        timeout: seconds any one call may take, apart from waiting.
        lease: seconds a claim lasts that is not renewed.
    """

    #: Seconds of one wait: after that long it is known whether the broker still lives.
    longest_wait = 10.0

    def __init__(
        self,
        library: Library,
        name_server: tuple[str, int],
        name: str,
        timeout: float,
        lease: float,
    ) -> None:
        with library.name_server(*name_server, timeout) as names:
            uri = str(names.lookup(name))
        self._pid = os.getpid()
        self._calls = Line(library, uri, timeout)
        self._waits = Line(library, uri, timeout + self.longest_wait)
        self.call = self._calls.call
        self.token: str = self.call("open_session", lease)

    def wait(self, queues: list[str], timeout: float) -> bool:
        """Let the broker say when there is something to claim."""
        return bool(self._waits.call("wait", self.token, queues, timeout))

    def close(self) -> None:
        """Hang up; in a forked child the lines are the parent's."""
        if os.getpid() == self._pid:
            self._calls.close()
            self._waits.close()
