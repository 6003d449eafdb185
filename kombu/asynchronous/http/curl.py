"""An HTTP client for the event loop on libcurl (pycurl)."""

from __future__ import annotations

from collections import deque
from io import BytesIO
from typing import Any

from ...exceptions import HttpError
from ...log import get_logger
from ...utils.eventio import READ, WRITE
from ..hub import Hub, get_event_loop
from .base import BaseClient, Headers, Request

try:
    import pycurl
except ImportError:
    pycurl = None  # type: ignore[assignment,unused-ignore]

__all__ = ("CurlClient", "pycurl")

logger = get_logger(__name__)

DEFAULT_USER_AGENT = "Mozilla/5.0 (compatible; pycurl)"

#: Methods that libcurl has no option of its own for.
EXTRA_METHODS = frozenset({"DELETE", "OPTIONS", "PATCH"})

#: Method -> the libcurl option that selects it.
METH_TO_CURL: dict[str, Any] | None = (
    None
    if pycurl is None
    else {
        "GET": pycurl.HTTPGET,
        "POST": pycurl.POST,
        "PUT": pycurl.UPLOAD,
        "HEAD": pycurl.NOBODY,
    }
)

#: Seconds between looks at libcurl's own timers.
_TICK = 1.0

#: What a request that got no answer at all is reported as.
NO_ANSWER = 599


class CurlClient(BaseClient):
    """Client on libcurl's multi interface.

    Arguments:
        hub: the event loop, default the process's.
        max_clients: how many requests run at the same time; more wait their turn.

    Raises:
        ImportError: pycurl is not installed.
    """

    Curl: Any = None if pycurl is None else pycurl.Curl

    def __init__(self, hub: Any = None, max_clients: int = 10) -> None:
        if pycurl is None:
            raise ImportError("the curl client requires pycurl: pip install 'kombu[sqs]'")
        super().__init__(hub or get_event_loop() or Hub())
        self.max_clients = max_clients
        self.closed = False
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer_wanted)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket_wanted)
        self._free = [self.Curl() for _ in range(max_clients)]
        self._handles = list(self._free)
        self._waiting: deque[Request] = deque()
        self._running: dict[Any, tuple[Request, Headers, BytesIO]] = {}
        self._watched: set[int] = set()
        self._timer: Any = None
        self._tick = self.hub.call_repeatedly(_TICK, self._on_tick)

    def add_request(self, request: Any) -> Any:
        """Queue a request; returns it."""
        if self.closed:
            raise RuntimeError("HTTP client is closed")
        self._waiting.append(request)
        self._start_waiting()
        self._schedule(0)
        return request

    def close(self) -> None:
        """Drop what waits and what is under way."""
        if self.closed:
            return
        super().close()
        self.closed = True
        self._tick.cancel()
        if self._timer is not None:
            self._timer.cancel()
        for fd in list(self._watched):
            self._unwatch(fd)
        for handle in self._running:
            self._multi.remove_handle(handle)
        self._running.clear()
        self._waiting.clear()
        for handle in self._handles:
            handle.close()
        self._multi.close()

    # -- the event loop's side -------------------------------------------

    def on_readable(self, fd: int, _pycurl: Any = pycurl) -> None:
        """The loop found that libcurl can read from ``fd``."""
        self._act(fd, _pycurl.CSELECT_IN)

    def on_writable(self, fd: int, _pycurl: Any = pycurl) -> None:
        """The loop found that libcurl can write to ``fd``."""
        self._act(fd, _pycurl.CSELECT_OUT)

    def _on_timer_wanted(self, milliseconds: int) -> None:
        if milliseconds >= 0:
            self._schedule(milliseconds / 1000.0)

    def _schedule(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.hub.call_later(seconds, self._on_timeout)

    def _on_socket_wanted(self, event: int, fd: int, multi: Any, data: Any) -> None:
        self._unwatch(fd)
        if event == pycurl.POLL_REMOVE:
            return
        if event in (pycurl.POLL_IN, pycurl.POLL_INOUT):
            self.hub.add(fd, self.on_readable, READ, (fd,))
        if event in (pycurl.POLL_OUT, pycurl.POLL_INOUT):
            self.hub.add(fd, self.on_writable, WRITE, (fd,))
        self._watched.add(fd)

    def _unwatch(self, fd: int) -> None:
        if fd in self._watched:
            self._watched.discard(fd)
            self.hub.remove(fd)

    def _on_timeout(self) -> None:
        self._timer = None
        self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _on_tick(self) -> None:
        if self._running:
            self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _act(self, fd: int, events: int) -> None:
        status = pycurl.E_CALL_MULTI_PERFORM
        while status == pycurl.E_CALL_MULTI_PERFORM:
            status, _ = self._multi.socket_action(fd, events)
        self._collect()

    # -- requests --------------------------------------------------------

    def _start_waiting(self) -> None:
        while self._free and self._waiting:
            handle = self._free.pop()
            request = self._waiting.popleft()
            headers, buffer = self.Headers(), BytesIO()
            self._running[handle] = (request, headers, buffer)
            try:
                self._set_up(handle, request, headers, buffer)
                self._multi.add_handle(handle)
            except Exception as exc:  # noqa: BLE001 - the requester hears of it
                self._finish(handle, NO_ANSWER, exc)

    def _collect(self) -> None:
        remaining = 1
        while remaining:
            remaining, succeeded, failed = self._multi.info_read()
            for handle in succeeded:
                self._multi.remove_handle(handle)
                self._finish(handle, handle.getinfo(pycurl.HTTP_CODE), None)
            for handle, code, text in failed:
                self._multi.remove_handle(handle)
                error = HttpError(NO_ANSWER, f"curl error {code}: {text}")
                if code == pycurl.E_OPERATION_TIMEDOUT:
                    request = self._running[handle][0]
                    if request.on_timeout is not None:
                        request.on_timeout(request)
                self._finish(handle, NO_ANSWER, error)

    def _finish(self, handle: Any, code: int, error: BaseException | None) -> None:
        request, headers, buffer = self._running.pop(handle)
        self._free.append(handle)
        effective_url = None if error else handle.getinfo(pycurl.EFFECTIVE_URL)
        response = self.Response(
            request,
            code,
            headers=headers,
            buffer=buffer,
            effective_url=effective_url,
            error=error,
        )
        self.hub.call_soon(request.on_ready, response)
        self._start_waiting()

    def _set_up(self, handle: Any, request: Request, headers: Headers, buffer: BytesIO) -> None:
        handle.reset()
        handle.setopt(pycurl.URL, request.url)
        handle.setopt(pycurl.NOSIGNAL, 1)
        handle.setopt(pycurl.USERAGENT, request.user_agent or DEFAULT_USER_AGENT)
        handle.setopt(pycurl.FOLLOWLOCATION, request.follow_redirects)
        handle.setopt(pycurl.MAXREDIRS, request.max_redirects)
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, int(1000 * request.connect_timeout))
        handle.setopt(pycurl.TIMEOUT_MS, int(1000 * request.request_timeout))
        handle.setopt(
            pycurl.HTTPHEADER,
            [_header_line(name, value) for name, value in request.headers.items()],
        )

        def on_header(line: bytes) -> None:
            if request.on_header is not None:
                request.on_header(headers, line.decode("latin-1"))
            else:
                self.on_header(headers, line)

        handle.setopt(pycurl.HEADERFUNCTION, on_header)
        handle.setopt(pycurl.WRITEFUNCTION, request.on_stream or buffer.write)
        if request.use_gzip:
            handle.setopt(pycurl.ENCODING, "gzip,deflate")
        if request.network_interface:
            handle.setopt(pycurl.INTERFACE, request.network_interface)
        self._set_up_security(handle, request)
        self._set_up_method(handle, request)
        if request.on_prepare is not None:
            request.on_prepare(handle)

    def _set_up_security(self, handle: Any, request: Request) -> None:
        if request.proxy_host:
            handle.setopt(pycurl.PROXY, request.proxy_host)
            handle.setopt(pycurl.PROXYPORT, request.proxy_port or 8080)
            if request.proxy_username:
                handle.setopt(
                    pycurl.PROXYUSERPWD, f"{request.proxy_username}:{request.proxy_password or ''}"
                )
        handle.setopt(pycurl.SSL_VERIFYPEER, 1 if request.validate_cert else 0)
        handle.setopt(pycurl.SSL_VERIFYHOST, 2 if request.validate_cert else 0)
        if request.ca_certs:
            handle.setopt(pycurl.CAINFO, request.ca_certs)
        if request.client_cert:
            handle.setopt(pycurl.SSLCERT, request.client_cert)
        if request.client_key:
            handle.setopt(pycurl.SSLKEY, request.client_key)
        if request.auth_username is not None:
            modes = {None: pycurl.HTTPAUTH_BASIC, "basic": pycurl.HTTPAUTH_BASIC}
            modes["digest"] = pycurl.HTTPAUTH_DIGEST
            if request.auth_mode not in modes:
                raise ValueError(f"unknown HTTP authentication mode {request.auth_mode!r}")
            handle.setopt(pycurl.HTTPAUTH, modes[request.auth_mode])
            handle.setopt(pycurl.USERPWD, f"{request.auth_username}:{request.auth_password or ''}")

    def _set_up_method(self, handle: Any, request: Request) -> None:
        method = request.method.upper()
        options = METH_TO_CURL or {}
        if method in options:
            handle.setopt(options[method], True)
        elif method in EXTRA_METHODS:
            handle.setopt(pycurl.CUSTOMREQUEST, method)
        else:
            raise ValueError(f"unknown HTTP method {request.method!r}")
        if method not in ("POST", "PUT", "PATCH", "DELETE"):
            return
        body = request.body or b""
        data = body.encode() if isinstance(body, str) else body
        if method == "PUT":
            handle.setopt(pycurl.READFUNCTION, BytesIO(data).read)
            handle.setopt(pycurl.INFILESIZE, len(data))
        elif data or method == "POST":
            handle.setopt(pycurl.POSTFIELDS, data)
            handle.setopt(pycurl.CUSTOMREQUEST, method)


def _header_line(name: str, value: str) -> bytes:
    if "\r" in value or "\n" in value:
        raise ValueError(f"header {name!r} has a line break")
    line = f"{name}: {value}"
    try:
        return line.encode("latin-1")
    except UnicodeEncodeError:
        return line.encode("utf-8")
