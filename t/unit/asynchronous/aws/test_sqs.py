"""The asynchronous SQS client against a server that speaks SQS's JSON protocol."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from vine import promise

from kombu.asynchronous import Hub
from kombu.asynchronous.aws.sqs.connection import AsyncSQSConnection
from kombu.asynchronous.aws.sqs.queue import AsyncQueue
from kombu.asynchronous.http.threaded import ThreadedClient
from kombu.exceptions import HttpError

boto3 = pytest.importorskip("boto3")


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        self.server.requests.append((operation, body, self.headers["Authorization"]))
        code, answer = self.server.answers.get(operation, (200, {}))
        content = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.answers = [], {}
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.queue_url = f"{server.url}/123/q"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def connection(server):
    hub = Hub()
    client = boto3.client(
        "sqs",
        region_name="us-east-1",
        endpoint_url=server.url,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    connection = AsyncSQSConnection(client, http_client=ThreadedClient(hub))
    connection.hub = hub
    yield connection
    hub.close()


def outcome(connection, call):
    """The result of ``call(callback)``; raises what it fails with."""
    results, errors = [], []
    call(promise(results.append, on_error=errors.append))
    deadline = time.monotonic() + 10
    while not (results or errors):
        assert time.monotonic() < deadline
        connection.hub.run_once()
    if errors:
        raise errors[0]
    return results[0]


def test_receive_is_signed_and_parsed(server, connection):
    message = {"MessageId": "1", "ReceiptHandle": "rh", "Body": "abc"}
    server.answers["ReceiveMessage"] = 200, {"Messages": [message]}
    result = outcome(
        connection,
        lambda done: connection.receive_message(
            "q", server.queue_url, 3, wait_time_seconds=5, callback=done
        ),
    )
    assert result["Messages"] == [message]
    [(operation, body, authorization)] = server.requests
    assert operation == "ReceiveMessage"
    assert body == {
        "MaxNumberOfMessages": 3,
        "WaitTimeSeconds": 5,
        "MessageSystemAttributeNames": ["ApproximateReceiveCount"],
        "QueueUrl": server.queue_url,
    }
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=key/")


@pytest.mark.parametrize("code", [500, 503])
def test_receive_survives_a_server_error(server, connection, code):
    server.answers["ReceiveMessage"] = code, {}
    receive = outcome(
        connection,
        lambda done: connection.receive_message("q", server.queue_url, callback=done),
    )
    assert receive == []


def test_refusal_reaches_the_promise_and_names_the_operation(server, connection):
    server.answers["DeleteMessage"] = 400, {"__type": "x#ReceiptHandleIsInvalid", "message": "no"}
    with pytest.raises(HttpError, match=r"DeleteMessage: .*ReceiptHandleIsInvalid") as caught:
        outcome(
            connection,
            lambda done: connection.delete_message(server.queue_url, "secret-handle", done),
        )
    assert "secret-handle" not in str(caught.value)


def test_a_queue_sends_receives_and_deletes(server, connection):
    queue = AsyncQueue(connection, server.queue_url)
    encoded = base64.b64encode(b"hello").decode()
    server.answers["ReceiveMessage"] = (
        200,
        {"Messages": [{"MessageId": "1", "ReceiptHandle": "rh", "Body": encoded}]},
    )
    outcome(connection, lambda done: queue.write("hello", callback=done))
    [message] = outcome(connection, lambda done: queue.get_messages(callback=done))
    assert message.body == b"hello"
    assert outcome(connection, lambda done: queue.delete_message(message, done)) == 200
    outcome(connection, lambda done: queue.delete_message_batch([message], done))
    assert [
        (operation, body) for operation, body, _ in server.requests if "Recei" not in operation
    ] == [
        ("SendMessage", {"MessageBody": encoded, "QueueUrl": server.queue_url}),
        ("DeleteMessage", {"ReceiptHandle": "rh", "QueueUrl": server.queue_url}),
        (
            "DeleteMessageBatch",
            {"Entries": [{"Id": "0", "ReceiptHandle": "rh"}], "QueueUrl": server.queue_url},
        ),
    ]


def test_numbers_and_lookup(server, connection):
    queue = AsyncQueue(connection, server.queue_url)
    server.answers["GetQueueAttributes"] = (
        200,
        {"Attributes": {"VisibilityTimeout": "30", "ApproximateNumberOfMessages": "4"}},
    )
    server.answers["ListQueues"] = 200, {"QueueUrls": [f"{server.url}/123/qq", server.queue_url]}
    assert outcome(connection, lambda done: queue.get_timeout(done)) == 30
    assert outcome(connection, lambda done: queue.count(callback=done)) == 4
    found = outcome(connection, lambda done: connection.get_queue("q", done))
    assert found.url == server.queue_url
    assert outcome(connection, lambda done: connection.lookup("zz", done)) is None


def test_a_wrong_parameter_is_refused_before_sending(server, connection):
    with pytest.raises(Exception, match="MessageBody"):
        connection.send_message(server.queue_url, 5)
    assert server.requests == []
