"""HTTP servers as backends: requests by urllib3, and what their answers mean."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import urllib3

from kombu.transport.errors import ErrorRow
from kombu.utils.deadlines import time_left


class ServerError(Exception):
    """The server could not do it now: no leader, out of time, shutting down."""


class Refused(Exception):
    """The server refuses the request, and would again."""


class NotAllowed(Exception):
    """Name, password or token are not what the server wants."""


class Unsuitable(Exception):
    """What answers (or doesn't any more) is not the server that the transport needs."""


HTTP_ERRORS = (
    ErrorRow(NotAllowed, "connection", recoverable=False),
    ErrorRow(Unsuitable, "connection", recoverable=False),
    ErrorRow(ServerError, "connection"),
    ErrorRow(Refused, "channel", recoverable=False),
    ErrorRow(urllib3.exceptions.LocationValueError, "connection", recoverable=False),
    ErrorRow(urllib3.exceptions.HTTPError, "connection"),
    ErrorRow(OSError, "connection"),
)


class Reply(NamedTuple):
    """What a server answered; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Server:
    """One HTTP server.

    Arguments:
        headers: sent with each request; may hold credentials, so they are shown nowhere.
        connect_timeout: seconds to reach it.
        timeout: seconds any one request may take.
        tls: ``None`` for plain HTTP.
    """

    def __init__(
        self,
        host: str,
        port: int,
        headers: Mapping[str, str],
        connect_timeout: float,
        timeout: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.headers = dict(headers)
        self.connect_timeout = connect_timeout
        self.timeout = timeout
        self.tls = tls
        self._limits = urllib3.Timeout(connect=connect_timeout, read=timeout)
        common: dict[str, Any] = {
            "timeout": self._limits,
            "maxsize": 8,
            "retries": False,
            "headers": self.headers,
        }
        self._pool: urllib3.HTTPConnectionPool
        if tls is None:
            self._pool = urllib3.HTTPConnectionPool(host, port, **common)
        else:
            self._pool = urllib3.HTTPSConnectionPool(host, port, ssl_context=tls, **common)

    def __repr__(self) -> str:
        return f"<Server {self.host}:{self.port}>"

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request and its answer, whatever its status says.

        Arguments:
            path: not quoted yet.
            kind: content type of the body.
            headers: of this request only.

        Raises:
            what :data:`HTTP_ERRORS` knows.
        """
        sent = {**self.headers, **(headers or {})}
        left = time_left()
        limits = self._limits
        if left is not None:
            limits = urllib3.Timeout(
                connect=min(left, self.connect_timeout), read=min(left, self.timeout)
            )
        if kind is not None:
            sent["Content-Type"] = kind
        answer = self._pool.request(
            method, target(path, query), body=body, headers=sent, redirect=False, timeout=limits
        )
        names = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(answer.status, names, answer.data)

    def close(self) -> None:
        """Drop idle connections."""
        self._pool.close()


def target(path: str, query: Mapping[str, Any] | None = None) -> str:
    """A request's path and query, quoted."""
    return quote(path, safe="/") + (f"?{urlencode(query)}" if query else "")


def check(reply: Reply) -> Reply:
    """The reply, if the server did what was asked.

    Raises:
        NotAllowed, ServerError, Refused: it did not; with what it says of it.
    """
    if reply.status < 400:
        return reply
    said = reply.body.decode("utf-8", "replace").strip()[:300]
    text = f"the server answers {reply.status}: {said}"
    if reply.status in (401, 403):
        raise NotAllowed(text)
    if reply.status >= 500:
        raise ServerError(text)
    raise Refused(text)


def parsed(reply: Reply) -> Any:
    """The JSON of a reply.

    Raises:
        ServerError: it is not JSON.
    """
    try:
        return json.loads(reply.body)
    except ValueError as exc:
        raise ServerError(f"the server's answer is no JSON: {reply.body[:80]!r}") from exc
