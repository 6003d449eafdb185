"""An HTTP client for the event loop on urllib3, for where libcurl is not there.

Requests run in a few threads, started when needed and ended when idle; their callbacks run in
the event loop's thread. urllib3 keeps and reuses connections.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from io import BytesIO
from typing import Any

from ...log import get_logger
from ..hub import Hub, get_event_loop
from .base import BaseClient, Headers, Request, Response, normalize_header

try:
    import urllib3
except ImportError:  # pragma: no cover - urllib3 comes with boto3
    urllib3 = None  # type: ignore[assignment]

__all__ = ("ThreadedClient",)

logger = get_logger(__name__)

#: Seconds after which an idle thread ends.
IDLE_SECONDS = 10.0

#: What a request that got no answer at all is reported as.
NO_ANSWER = 599


class ThreadedClient(BaseClient):
    """Client on urllib3.

    Arguments:
        hub: the event loop, default the process's.
        max_clients: how many requests run at the same time; more wait their turn.

    Raises:
        ImportError: urllib3 is not installed.
    """

    def __init__(self, hub: Any = None, max_clients: int = 10) -> None:
        if urllib3 is None:
            raise ImportError(
                "the asynchronous HTTP client needs pycurl or urllib3: pip install 'kombu[sqs]'"
            )
        super().__init__(hub or get_event_loop() or Hub())
        self.max_clients = max_clients
        self.closed = False
        self._changed = threading.Condition()
        self._waiting: deque[Request] = deque()
        self._threads = 0
        self._idle = 0
        self._pid = os.getpid()
        self._pools: dict[tuple[Any, ...], Any] = {}

    def add_request(self, request: Any) -> Any:
        """Queue a request; returns it."""
        if self.closed:
            raise RuntimeError("HTTP client is closed")
        self._forget_parents_threads()
        with self._changed:
            self._waiting.append(request)
            if self._idle < len(self._waiting) and self._threads < self.max_clients:
                self._threads += 1
                threading.Thread(target=self._work, name="kombu-http", daemon=True).start()
            self._changed.notify()
        return request

    def close(self) -> None:
        """Drop what waits; requests under way end by themselves and are not reported."""
        super().close()
        with self._changed:
            self.closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _forget_parents_threads(self) -> None:
        """Threads and sockets are not inherited by a fork."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._changed = threading.Condition()
            self._threads = self._idle = 0
            self._pools = {}

    def _work(self) -> None:
        while True:
            request = self._next_request()
            if request is None:
                return
            response = self._perform(request)
            if not self.closed:
                self.hub.call_soon(self._report, request, response)

    def _next_request(self) -> Request | None:
        with self._changed:
            self._idle += 1
            try:
                self._changed.wait_for(lambda: self._waiting or self.closed, IDLE_SECONDS)
            finally:
                self._idle -= 1
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            return None

    def _perform(self, request: Request) -> Response:
        try:
            return self._exchange(request)
        except urllib3.exceptions.MaxRetryError as exc:
            return self.Response(request, NO_ANSWER, error=exc.reason or exc)
        except Exception as exc:  # noqa: BLE001 - whatever happens, the requester hears of it
            return self.Response(request, NO_ANSWER, error=exc)

    def _exchange(self, request: Request) -> Response:
        body = request.body.encode() if isinstance(request.body, str) else request.body
        answer = self._pool(request).request(
            request.method,
            request.url,
            body=body,
            headers=self._headers_to_send(request),
            timeout=urllib3.Timeout(connect=request.connect_timeout, read=request.request_timeout),
            redirect=request.follow_redirects,
            retries=urllib3.Retry(
                total=None,
                connect=0,
                read=0,
                other=0,
                status=0,
                redirect=request.max_redirects if request.follow_redirects else False,
                raise_on_redirect=True,
            ),
            preload_content=False,
        )
        try:
            headers = Headers(
                {normalize_header(name): value for name, value in answer.headers.items()}
            )
            if request.on_header is not None:
                for name, value in headers.items():
                    self.hub.call_soon(request.on_header, headers, f"{name}: {value}")
            buffer = BytesIO()
            if request.on_stream is not None:
                for piece in answer.stream(65536):
                    self.hub.call_soon(request.on_stream, piece)
            else:
                buffer.write(answer.read())
        finally:
            answer.release_conn()
        headers.complete = True
        return self.Response(
            request,
            answer.status,
            headers=headers,
            buffer=buffer,
            effective_url=answer.geturl() or request.url,
            status=answer.reason or None,
        )

    def _headers_to_send(self, request: Request) -> dict[str, str]:
        headers = dict(request.headers)
        if request.use_gzip:
            headers.setdefault("Accept-Encoding", "gzip,deflate")
        if request.user_agent:
            headers.setdefault("User-Agent", request.user_agent)
        if request.auth_username is not None:
            if request.auth_mode not in (None, "basic"):
                raise NotImplementedError(
                    f"HTTP authentication mode {request.auth_mode!r} needs pycurl"
                )
            credentials = f"{request.auth_username}:{request.auth_password or ''}"
            headers.update(urllib3.make_headers(basic_auth=credentials))
        return headers

    def _pool(self, request: Request) -> Any:
        """The pool of connections for these certificates and this proxy."""
        key = (
            request.validate_cert,
            request.ca_certs,
            request.client_cert,
            request.client_key,
            request.proxy_host,
            request.proxy_port,
            request.proxy_username,
            request.proxy_password,
        )
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._open_pool(request)
        return pool

    def _open_pool(self, request: Request) -> Any:
        options: dict[str, Any] = {
            "maxsize": self.max_clients,
            "cert_reqs": "CERT_REQUIRED" if request.validate_cert else "CERT_NONE",
            "ca_certs": request.ca_certs,
            "cert_file": request.client_cert,
            "key_file": request.client_key,
        }
        if request.proxy_host is None:
            return urllib3.PoolManager(**options)
        headers = None
        if request.proxy_username is not None:
            headers = urllib3.make_headers(
                proxy_basic_auth=f"{request.proxy_username}:{request.proxy_password or ''}"
            )
        proxy = f"http://{request.proxy_host}:{request.proxy_port or 8080}"
        return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)

    def _report(self, request: Request, response: Response) -> None:
        """In the loop's thread: hand the response over."""
        if self.closed:
            return
        timed_out = isinstance(response.error, urllib3.exceptions.TimeoutError)
        if timed_out and request.on_timeout is not None:
            request.on_timeout(request)
        request.on_ready(response)
