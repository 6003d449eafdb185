from __future__ import annotations

import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kombu.asynchronous import Hub
from kombu.asynchronous.http import Client, Headers, Request, Response, get_client
from kombu.asynchronous.http.base import header_parser, normalize_header
from kombu.asynchronous.http.curl import CurlClient, pycurl
from kombu.asynchronous.http.threaded import ThreadedClient
from kombu.exceptions import HttpError

CLIENTS = [ThreadedClient] if pycurl is None else [ThreadedClient, CurlClient]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        code, headers, content = 200, {}, b""
        if self.path == "/echo":
            content = f"{self.command} {self.headers.get('X-Test')} ".encode() + body
        elif self.path == "/missing":
            code = 404
        elif self.path == "/moved":
            code, headers = 302, {"Location": "/echo"}
        elif self.path == "/gzip":
            headers, content = {"Content-Encoding": "gzip"}, gzip.compress(b"squeezed")
        elif self.path == "/auth":
            content = (self.headers.get("Authorization") or "").encode()
        elif self.path == "/slow":
            self.server.release.wait(10)
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.release = threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture(params=CLIENTS, ids=lambda cls: cls.__name__)
def client(request):
    hub = Hub()
    with request.param(hub) as client:
        yield client
    hub.close()


def run_until(hub, condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        hub.run_once()


def perform(client, url, **kwargs):
    answers = []
    client.perform(Request(url, on_ready=answers.append, **kwargs))
    run_until(client.hub, lambda: answers)
    return answers[0]


class TestClients:
    def test_get(self, client, url):
        response = perform(
            client, f"{url}/echo", headers={"X-Test": "ü".encode().decode("latin-1")}
        )
        assert (response.code, response.error) == (200, None)
        assert response.body.startswith(b"GET ")
        assert response.headers["Content-Length"] == str(len(response.body))

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_body(self, client, url, method):
        response = perform(
            client, f"{url}/echo", method=method, body="häh", headers={"X-Test": "1"}
        )
        assert response.body == f"{method} 1 häh".encode()

    def test_status_that_is_no_success(self, client, url):
        response = perform(client, f"{url}/missing")
        assert (response.code, response.status) == (404, "Not Found")
        with pytest.raises(HttpError) as caught:
            response.raise_for_error()
        assert caught.value.code == 404

    def test_redirect(self, client, url):
        response = perform(client, f"{url}/moved")
        assert response.body == b"GET None "
        assert response.effective_url.endswith("/echo")
        assert perform(client, f"{url}/moved", follow_redirects=False).code == 302

    def test_compressed(self, client, url):
        assert perform(client, f"{url}/gzip").body == b"squeezed"

    def test_basic_authentication(self, client, url):
        response = perform(client, f"{url}/auth", auth_username="u", auth_password="p")
        assert response.body == b"Basic dTpw"

    def test_nobody_listens(self, client):
        response = perform(client, "http://127.0.0.1:1/", connect_timeout=2)
        assert response.code == 599
        assert response.error is not None

    def test_time_is_over(self, client, url):
        timed_out = []
        started = time.monotonic()
        response = perform(client, f"{url}/slow", on_timeout=timed_out.append, request_timeout=0.3)
        assert response.code == 599
        assert len(timed_out) == 1
        assert time.monotonic() - started < 3

    def test_pieces_go_to_on_stream(self, client, url):
        pieces = []
        response = perform(client, f"{url}/echo", on_stream=pieces.append)
        run_until(client.hub, lambda: pieces)
        assert b"".join(pieces) == b"GET None "
        assert not response.body

    def test_more_requests_than_max_clients(self, client, url):
        answers = []
        for _ in range(35):
            client.perform(Request(f"{url}/echo", on_ready=answers.append))
        run_until(client.hub, lambda: len(answers) == 35)
        assert {answer.code for answer in answers} == {200}

    def test_callbacks_run_in_the_loops_thread(self, client, url):
        threads = []
        client.perform(
            Request(f"{url}/echo", on_ready=lambda r: threads.append(threading.get_ident()))
        )
        run_until(client.hub, lambda: threads)
        assert threads == [threading.get_ident()]

    def test_closed_client_refuses_and_reports_nothing(self, client, url):
        client.perform(Request(f"{url}/slow", on_ready=pytest.fail))
        client.close()
        client.hub.call_soon(lambda: None)
        client.hub.run_once()
        with pytest.raises(RuntimeError):
            client.perform(f"{url}/echo")


def test_one_client_per_loop():
    first, second = Hub(), Hub()
    try:
        assert get_client(first) is get_client(first)
        assert get_client(first) is not get_client(second)
        old = get_client(first)
        first.close()
        assert get_client(first) is not old
    finally:
        first.close()
        second.close()


def test_client_is_whatever_is_installed():
    hub = Hub()
    with Client(hub) as client:
        assert isinstance(client, CLIENTS[-1])
    hub.close()


def test_header_lines():
    parser, headers = header_parser(), Headers()
    for line in ("HTTP/1.1 200 OK\r\n", "content-type: a: b\r\n", b"X-Foo: 1\r\n", "  more\r\n"):
        parser.send((line, headers))
    assert headers == {"Content-Type": "a: b", "X-Foo": "1 more"}
    assert not headers.complete
    parser.send(("\r\n", headers))
    assert headers.complete
    with pytest.raises(ValueError, match="not a header line"):
        parser.send(("nonsense", headers))


def test_normalize_header():
    assert normalize_header("x-AMZ-date") == "X-Amz-Date"


def test_response_without_a_body():
    response = Response(Request("http://h/p"), 204)
    assert (response.body, response.error, response.effective_url) == (None, None, "http://h/p")


def test_request_shows_no_credentials():
    assert repr(Request("https://u:secret@h/p?token=secret")) == "<Request: GET https://h/p>"
