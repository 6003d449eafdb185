"""Counts the API calls that a client makes, as AWS would bill them."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit


def action(target: str, query: str, body: bytes) -> str:
    """Name of an API call: by header in AWS's JSON protocol, by parameter in its query protocol."""
    if target:
        return target.rpartition(".")[2]
    parameters = parse_qs(body.decode("utf-8", "replace")) or parse_qs(query)
    return parameters.get("Action", ["unknown"])[0]


class CountingProxy:
    """An HTTP server that hands requests on and counts them by action.

    Arguments:
        upstream: endpoint of the server, e.g. ``http://127.0.0.1:5000``.
    """

    def __init__(self, upstream: str) -> None:
        self.calls: Counter[str] = Counter()
        #: While set, connections are cut instead of answered.
        self.cut = threading.Event()
        lock = threading.Lock()
        outer, host = self, urlsplit(upstream).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body in one packet, or each answer waits 40 ms

            def relay(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if outer.cut.is_set():
                    self.close_connection = True
                    return
                query = urlsplit(self.path).query
                with lock:
                    outer.calls[action(self.headers.get("X-Amz-Target", ""), query, body)] += 1
                link = http.client.HTTPConnection(host, timeout=60)
                # Queue URLs name the host that was asked, so that later calls come here, too.
                link.request(self.command, self.path, body, dict(self.headers))
                answer = link.getresponse()
                data = answer.read()
                link.close()
                if outer.cut.is_set():
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                self.wfile.flush()

            do_GET = do_POST = relay

            def log_message(self, format: str, *args: Any) -> None:
                return None

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                return None  # a client that went away

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> CountingProxy:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
