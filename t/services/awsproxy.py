"""An HTTP proxy in front of an AWS server: counts the calls, and answers some of them itself."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections import Counter, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

_ACCESS_KEY = re.compile(r"Credential=([^/]+)/")


class Call(NamedTuple):
    """One request, as far as tests ask.

    Arguments:
        action: of the API, e.g. ``SendMessage``.
        access_key: that signed it.
        token: of its session; empty without one.
        body: as it was sent.
    """

    action: str
    access_key: str
    token: str
    body: str


class Refusal(NamedTuple):
    """What to answer instead of the server, in AWS's JSON protocol.

    Arguments:
        entries: the call succeeds, and each entry of its batch fails.
        sender_fault: what is said of the entries.
    """

    code: str
    status: int = 400
    entries: bool = False
    sender_fault: bool = False

    def answer(self, body: str) -> bytes:
        """The text of the answer to a request."""
        if not self.entries:
            said: Any = {"__type": f"com.amazonaws.sqs#{self.code}", "message": "told so"}
        else:
            fault = {"Code": self.code, "SenderFault": self.sender_fault, "Message": "told so"}
            failed = [{"Id": entry["Id"], **fault} for entry in json.loads(body)["Entries"]]
            said = {"Successful": [], "Failed": failed}
        return json.dumps(said).encode()


def action(target: str, query: str, body: str) -> str:
    """Name of an API call: by header in AWS's JSON protocol, by parameter in its query protocol."""
    if target:
        return target.rpartition(".")[2]
    parameters = parse_qs(body) or parse_qs(query)
    return parameters.get("Action", ["unknown"])[0]


class AWSProxy:
    """Hands requests on and counts them by action, as AWS would bill them.

    Arguments:
        upstream: endpoint of the server, e.g. ``http://127.0.0.1:5000``.
    """

    def __init__(self, upstream: str) -> None:
        self.calls: Counter[str] = Counter()
        self.seen: deque[Call] = deque(maxlen=10_000)
        #: Action -> answers to give instead of the server's, one a call.
        self.refusals: dict[str, deque[Refusal]] = {}
        self._lock = threading.Lock()
        self._host = urlsplit(upstream).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body in one packet, or each answer waits 40 ms
            proxy = self

            def relay(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                text = body.decode("utf-8", "replace")
                target = self.headers.get("X-Amz-Target", "")
                signed = _ACCESS_KEY.search(self.headers.get("Authorization", ""))
                call = Call(
                    action(target, urlsplit(self.path).query, text),
                    signed[1] if signed else "",
                    self.headers.get("X-Amz-Security-Token", ""),
                    text,
                )
                status, headers, data = self.proxy.answer(call, self.command, self.path, self, body)
                self.send_response(status)
                for name, value in headers:
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

    def refuse(self, action: str, code: str, times: int = 1, status: int = 400) -> None:
        """Answer the next calls of an action with this error."""
        with self._lock:
            self.refusals.setdefault(action, deque()).extend([Refusal(code, status)] * times)

    def fail_entries(self, action: str, code: str, times: int, sender_fault: bool = False) -> None:
        """Let every entry of the next batches of an action fail."""
        refusal = Refusal(code, 200, entries=True, sender_fault=sender_fault)
        with self._lock:
            self.refusals.setdefault(action, deque()).extend([refusal] * times)

    def answer(
        self, call: Call, command: str, path: str, request: Any, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body: the server's, or a refusal."""
        with self._lock:
            self.calls[call.action] += 1
            self.seen.append(call)
            refusals = self.refusals.get(call.action)
            refusal = refusals.popleft() if refusals else None
        if refusal is not None:
            headers = [("Content-Type", "application/x-amz-json-1.0")]
            return refusal.status, headers, refusal.answer(call.body)
        link = http.client.HTTPConnection(self._host, timeout=60)
        # Queue URLs name the host that was asked, so that later calls come here, too.
        link.request(command, path, body, dict(request.headers))
        answer = link.getresponse()
        data = answer.read()
        link.close()
        return answer.status, answer.getheaders(), data

    def __enter__(self) -> AWSProxy:
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
