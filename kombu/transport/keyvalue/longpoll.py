"""Requests that are answered when there is news: one socket each, never blocking for more."""

from __future__ import annotations

import socket
import ssl

import h11

from kombu.transport.http import Reply, Server

_CHUNK = 65536
#: Seconds of silence, seconds between probes, how many of them are not answered.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class LongPoll:
    """One request at a time to one server, kept open for the next.

    States: *idle* (no request), *awaiting* (its answer, perhaps in parts). ``begin`` leads
    from the first to the second, a complete answer or ``close`` back.

    Not for concurrent use.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._socket: socket.socket | None = None
        self._http: h11.Connection | None = None
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body = b""

    @property
    def is_awaiting(self) -> bool:
        """Whether an answer is to come."""
        return self._http is not None and self._http.our_state is not h11.IDLE

    def fileno(self) -> int:
        """Readable when (a part of) the answer has come."""
        assert self._socket is not None
        return self._socket.fileno()

    def begin(self, target: str) -> None:
        """Send a GET.

        Arguments:
            target: path and query, quoted.

        Raises:
            OSError: the server can't be reached.
        """
        if self._socket is None:
            self._connect()
        assert self._socket is not None
        assert self._http is not None
        server = self.server
        headers = [("Host", f"{server.host}:{server.port}"), *server.headers.items()]
        request = h11.Request(method="GET", target=target, headers=headers)
        data = self._http.send(request) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        self._socket.settimeout(server.timeout)
        try:
            self._socket.sendall(data)
        except OSError:
            self.close()
            raise
        self._socket.setblocking(False)
        self._status, self._headers, self._body = 0, {}, b""

    def _connect(self) -> None:
        server = self.server
        plain = socket.create_connection((server.host, server.port), server.connect_timeout)
        try:
            # A watch may be silent for hours: this is how a dead link is noticed.
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE.items():
                if hasattr(socket, name):  # else after two hours, or what the system says
                    plain.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = (
                plain
                if server.tls is None
                else server.tls.wrap_socket(plain, server_hostname=server.host)
            )
        except BaseException:
            plain.close()
            raise
        self._http = h11.Connection(our_role=h11.CLIENT)

    def read(self) -> Reply | None:
        """The answer, if all of it has come; without waiting for it.

        Raises:
            OSError, h11.RemoteProtocolError: the server hung up, or speaks no HTTP.
        """
        assert self._socket is not None
        assert self._http is not None
        try:
            while True:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    try:
                        data = self._socket.recv(_CHUNK)
                    except (BlockingIOError, ssl.SSLWantReadError):
                        return None
                    if not data:
                        raise ConnectionResetError("the server closed a watch")
                    self._http.receive_data(data)
                elif isinstance(event, h11.Response):
                    self._status = event.status_code
                    self._headers = {
                        name.decode("latin-1").lower(): value.decode("latin-1")
                        for name, value in event.headers
                    }
                elif isinstance(event, h11.Data):
                    self._body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    return self._finish()
        except (OSError, h11.RemoteProtocolError):
            self.close()
            raise

    def _finish(self) -> Reply:
        assert self._http is not None
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            self.close()
        return Reply(self._status, self._headers, self._body)

    def close(self) -> None:
        """Give the request up and hang up."""
        sock, self._socket, self._http = self._socket, None, None
        if sock is not None:
            sock.close()
