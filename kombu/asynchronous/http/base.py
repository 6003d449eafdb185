"""Requests, responses and what HTTP clients have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping
from http.client import responses
from io import BytesIO
from types import TracebackType
from typing import Any

from vine import Thenable, maybe_promise, promise

from ...exceptions import HttpError
from ...utils.compat import coro

__all__ = ("BaseClient", "Headers", "Request", "Response")


def normalize_header(key: str) -> str:
    """A header's name as it is usually written: ``content-type`` -> ``Content-Type``."""
    return "-".join(word.capitalize() for word in key.split("-"))


class Headers(dict[str, str]):
    """Header names and values of one message; names as sent.

    Attributes:
        complete: the empty line that ends a header has been seen.
        version: set by the status line.
    """

    complete: bool = False
    version: int | None = None


@Thenable.register
class Request:
    """One HTTP request; a promise of its response.

    Arguments:
        url: absolute URL.
        method: HTTP method.
        on_ready: called with the :class:`Response`.
        on_timeout: called with the request when the time is over.
        on_stream: called with each piece of the body, which is then not kept.
        on_prepare: called with the client's handle before sending.
        on_header: called with each header line.
        headers: names and values to send.
        **kwargs: any of the attributes below.

    Attributes:
        body: what to send, text or bytes.
        connect_timeout, request_timeout: seconds.
        follow_redirects, max_redirects: whether and how often a Location is followed.
        use_gzip: accept a compressed answer.
        user_agent: default: the client library's.
        network_interface: local address or interface to send from (curl only).
        auth_username, auth_password, auth_mode: ``basic`` (default) or ``digest`` (curl only).
        proxy_host, proxy_port, proxy_username, proxy_password: HTTP proxy.
        validate_cert, ca_certs: whether to check the server's certificate, and against what file.
        client_cert, client_key: files.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "headers",
        "method",
        "on_header",
        "on_prepare",
        "on_ready",
        "on_stream",
        "on_timeout",
        "url",
    )

    body: str | bytes | None = None
    user_agent: str | None = None
    network_interface: str | None = None
    auth_username: str | None = None
    auth_password: str | None = None
    auth_mode: str | None = None
    proxy_host: str | None = None
    proxy_port: int | None = None
    proxy_username: str | None = None
    proxy_password: str | None = None
    ca_certs: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    connect_timeout: float = 30.0
    request_timeout: float = 30.0
    follow_redirects: bool = True
    max_redirects: int = 6
    use_gzip: bool = True
    validate_cert: bool = True

    def __init__(
        self,
        url: str,
        method: str = "GET",
        on_ready: Callable[..., Any] | None = None,
        on_timeout: Callable[..., Any] | None = None,
        on_stream: Callable[..., Any] | None = None,
        on_prepare: Callable[..., Any] | None = None,
        on_header: Callable[..., Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.url = url
        self.method = method or "GET"
        self.on_ready = maybe_promise(on_ready) or promise()
        self.on_timeout = maybe_promise(on_timeout)
        self.on_stream = maybe_promise(on_stream)
        self.on_prepare = maybe_promise(on_prepare)
        self.on_header = maybe_promise(on_header)
        self.headers = headers if isinstance(headers, Headers) else Headers(headers or {})
        for name, value in kwargs.items():
            setattr(self, name, value)

    def then(self, callback: Callable[..., Any], errback: Callable[..., Any] | None = None) -> Any:
        """Call ``callback`` with the response."""
        return self.on_ready.then(callback, errback)

    def __repr__(self) -> str:
        return f"<Request: {self.method} {_without_secrets(self.url)}>"


def _without_secrets(url: str) -> str:
    """A URL without user information and query, for messages."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url.partition("?")[0]
    location, slash, path = rest.partition("?")[0].partition("/")
    return f"{scheme}://{location.rpartition('@')[2]}{slash}{path}"


class Response:
    """The answer to a request.

    Arguments:
        request: what was asked.
        code: HTTP status; 599 when there was no answer.
        headers: names and values.
        buffer: the body, a binary file.
        effective_url: where the answer came from, after redirects.
        error: why it failed; default: an :class:`~kombu.exceptions.HttpError` for a code that is
            no success.
        status: the reason phrase.
    """

    __slots__ = (
        "__weakref__",
        "_body",
        "buffer",
        "code",
        "effective_url",
        "error",
        "headers",
        "request",
        "status",
    )

    def __init__(
        self,
        request: Request,
        code: int,
        headers: Mapping[str, str] | None = None,
        buffer: BytesIO | None = None,
        effective_url: str | None = None,
        error: BaseException | None = None,
        status: str | None = None,
    ) -> None:
        self.request = request
        self.code = code
        self.headers = headers if headers is not None else Headers()
        self.buffer = buffer
        self.effective_url = effective_url or request.url
        self.status = status or responses.get(code, "Unknown")
        self.error = error
        if error is None and not 200 <= code < 300:
            self.error = HttpError(code, self.status, self)
        self._body: bytes | None = None

    def raise_for_error(self) -> None:
        """Raise :attr:`error` if there is one."""
        if self.error is not None:
            raise self.error

    @property
    def body(self) -> bytes | None:
        """The whole body."""
        if self._body is None and self.buffer is not None:
            self._body = self.buffer.getvalue()
        return self._body

    @property
    def content(self) -> bytes | None:
        """The whole body."""
        return self.body

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        return self.code


@coro
def header_parser(
    keyt: Callable[[str], str] = normalize_header,
) -> Generator[None, tuple[str | bytes, Headers], None]:
    """A generator that is sent ``(line, headers)`` for each line and fills ``headers``.

    Raises (from ``send``):
        ValueError: a line that is no header.
    """
    last: str | None = None
    while True:
        raw, headers = yield
        line = raw.decode("latin-1") if isinstance(raw, bytes) else raw
        stripped = line.strip()
        if line.startswith("HTTP/"):
            last = None
        elif not stripped:
            headers.complete = True
            last = None
        elif line[0].isspace() and last is not None:
            headers[last] = f"{headers[last]} {stripped}"
        else:
            name, separator, value = stripped.partition(":")
            if not separator:
                raise ValueError(f"not a header line: {stripped[:80]!r}")
            last = keyt(name.strip())
            headers[last] = value.strip()


class BaseClient:
    """What clients have in common.

    Arguments:
        hub: the event loop that callbacks run in.
    """

    Headers = Headers
    Request = Request
    Response = Response

    def __init__(self, hub: Any, **kwargs: Any) -> None:
        self.hub = hub
        self._header_parser = header_parser()
        on_close = getattr(hub, "on_close", None)
        if on_close is not None:
            on_close.add(self._on_hub_close)

    def perform(self, request: Any, **kwargs: Any) -> Any:
        """Send a request, given as one or as its URL; returns it, a promise of the response."""
        if not isinstance(request, self.Request):
            request = self.Request(request, **kwargs)
        return self.add_request(request)

    def add_request(self, request: Any) -> Any:
        """Queue a request; returns it. Never blocks."""
        raise NotImplementedError("must implement add_request")

    def close(self) -> None:
        """Give up what is under way; the client can't be used afterwards."""
        on_close = getattr(self.hub, "on_close", None)
        if on_close is not None:
            on_close.discard(self._on_hub_close)

    def _on_hub_close(self, hub: Any) -> None:
        self.close()

    def on_header(self, headers: Any, line: str | bytes) -> None:
        """Take in one header line."""
        try:
            self._header_parser.send((line, headers))
        except ValueError:
            # A generator that raised is over; the next response needs a new one.
            self._header_parser = header_parser()
            raise

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()


DEFAULT_USER_AGENT = f"kombu (Python {sys.version_info[0]}.{sys.version_info[1]})"
