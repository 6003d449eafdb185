"""A TCP relay that stops passing bytes; standard library only, so that both sides can use it."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

_CHUNK = 4096


class _Link:
    """One client's connection and the broker's."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        #: Pieces that came from the client.
        self.requests = 0
        self.sockets = (client, server)
        self.mute = threading.Event()
        self.reading = threading.Event()
        self.reading.set()
        #: Bytes that may still come from the broker before it falls mute; ``None``: any number.
        self.allowance: int | None = None
        #: Seconds that each piece is under way.
        self.latency = 0.0
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                self.reading.wait()
                self.requests += source is self.sockets[0]
                if self.allowance is not None and source is self.sockets[1]:
                    data, self.allowance = data[: self.allowance], self.allowance - len(data)
                    if self.allowance <= 0:
                        self.mute.set()
                        target.sendall(data)
                        continue
                if self.latency:
                    time.sleep(self.latency)
                if not self.mute.is_set():
                    target.sendall(data)
        if not self.mute.is_set():
            self.close()

    def close(self) -> None:
        for each in self.sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self.reading.set()


class Relay:
    """Passes a broker's bytes on, until it is told not to.

    Arguments:
        url: of the broker; :attr:`url` is the same by way of the relay.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._upstream = (parts.hostname, parts.port)
        self._links: list[_Link] = []
        self._frozen = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        at = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        self.url = urlunsplit(parts._replace(netloc=f"{at}127.0.0.1:{port}"))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(self._upstream)
                except OSError:  # the broker is down
                    client.close()
                    continue
                link = _Link(client, server)
                self._links.append(link)
                if self._frozen:
                    link.reading.clear()

    @property
    def requests(self) -> int:
        """How often clients have sent something."""
        return sum(link.requests for link in self._links)

    def delay(self, seconds: float) -> None:
        """Hold up each piece (of at most 4 KiB) by so much."""
        for link in self._links:
            link.latency = seconds

    def mute(self) -> None:
        """Take all bytes and pass none on the connections there are: half-open. New ones work."""
        for link in self._links:
            link.mute.set()

    def freeze(self) -> None:
        """Take no bytes either, so that buffers fill; new connections are frozen, too."""
        self._frozen = True
        for link in self._links:
            link.reading.clear()

    def stop(self) -> None:
        """Close every connection and take no new ones; may be called twice."""
        with suppress(OSError):
            # Wakes the thread in accept(), without which the port would stay open.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self._links:
            link.close()

    def mute_after(self, size: int) -> None:
        """As :meth:`mute`, after ``size`` more bytes from the broker."""
        for link in self._links:
            link.allowance = size

    def __enter__(self) -> Relay:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
