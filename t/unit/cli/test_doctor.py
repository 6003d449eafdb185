"""The doctor, where no server is needed; see t/integration/cli for those that need one."""

from __future__ import annotations

import json
import socket
import sys
import threading

import pytest

from kombu.cli import main
from kombu.cli.diagnosis import diagnose
from kombu.cli.target import Target


def examine(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    code = main(["doctor", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_healthy_broker(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = examine(capsys, "memory://localhost/doctor")
    assert (code, report["ok"]) == (0, True)
    assert report["round_trip_ms"] >= 0
    assert {"direct", "leases", "priority"} <= set(report["features"])


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_dead_port(capsys: pytest.CaptureFixture[str], scheme: str) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        code, report = examine(capsys, f"{scheme}://:hidden-pw@127.0.0.1:{port}/")
    assert code == 1
    assert report["failed"]["kind"] == "dead-port"
    assert f"127.0.0.1:{port}" in report["failed"]["cause"]
    assert "start the server" in report["failed"]["mend"]
    assert "hidden-pw" not in json.dumps(report)


def test_a_server_that_does_not_speak_tls(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for _ in range(2):
                peer, _ = server.accept()
                with peer:
                    peer.settimeout(5)
                    if peer.recv(1):
                        peer.sendall(b"-ERR what is this\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        code, report = examine(capsys, f"rediss://127.0.0.1:{port}/0", "--timeout", "2")
        thread.join(10)
    assert (code, report["failed"]["kind"]) == (1, "tls-mismatch")
    assert "redis://" in report["failed"]["mend"]


def test_a_misspelt_scheme(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = examine(capsys, "rediz://localhost")
    assert (code, report["failed"]["kind"]) == (1, "no-such-transport")
    assert "redis" in report["failed"]["cause"]


def test_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "memory://"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert lines[-1].startswith("ok    round trip:")


TARGET = Target("amqp", "broker.example", 5672, "/", "app", False)


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (socket.gaierror(-2, "Name or service not known"), "unknown-host"),
        (TimeoutError("timed out"), "no-answer"),
        (ConnectionResetError(104, "reset"), "closed"),
        (FileNotFoundError(2, "No such file", "/nowhere"), "missing-file"),
        (PermissionError(13, "Permission denied", "/nowhere"), "no-permission"),
        (ValueError("the port is no number"), "wrong-value"),
        (RuntimeError("else"), "unknown"),
    ],
)
def test_causes(exc: Exception, kind: str) -> None:
    wrapped = OSError("outer")
    wrapped.__cause__ = exc
    direct = diagnose(exc, TARGET)
    assert direct.kind == kind
    assert direct.mend
    if kind not in ("unknown", "wrong-value"):
        assert diagnose(wrapped, TARGET).kind == kind


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        ("nats", "nats: 'Authorization Violation'"),
        ("azurestoragequeues", "AuthenticationFailed: Server failed to authenticate the request."),
        ("etcd", "The request requires user authentication: Insufficient credentials"),
    ],
)
def test_a_refused_login(scheme: str, text: str) -> None:
    target = Target(scheme, "h", 1, "/", "joe", False)
    found = diagnose(ConnectionError(text), target)
    assert found.kind == "wrong-password"
    assert "'joe'" in found.cause


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        ("amqp", "(530) NOT_ALLOWED - access to vhost 'app' refused for user 'joe'"),
        ("amqp", "(403) ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'joe'"),
        ("redis", "NOPERM this user has no permissions to run the 'evalsha' command"),
    ],
)
def test_a_user_without_the_right(scheme: str, text: str) -> None:
    found = diagnose(ConnectionError(text), Target(scheme, "h", 1, "/", "joe", False))
    assert found.kind == "no-permission"
    assert "'joe'" in found.cause
    assert text in found.cause


def test_what_else_is_refused_is_no_dead_port() -> None:
    text = "(403) ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"
    assert diagnose(ConnectionError(text), TARGET).kind == "unknown"


@pytest.mark.parametrize(("host", "advised"), [("broker.example", True), ("127.0.0.1", False)])
def test_guest_is_let_in_from_its_own_machine(host: str, advised: bool) -> None:
    found = diagnose(
        ConnectionError("invalid username-password"),
        Target("amqp", host, 5672, "/", "guest", False),
    )
    assert ("own machine" in found.mend) is advised


def test_each_address_of_a_failover_url(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in (one, two)]
        url = ";".join(f"amqp://joe:hidden-pw@127.0.0.1:{port}//" for port in ports)
        code, report = examine(capsys, url)
        assert main(["doctor", url]) == 1
    assert (code, report["ok"]) == (1, False)
    assert [each["failed"]["kind"] for each in report["addresses"]] == ["dead-port"] * 2
    for port, each in zip(ports, report["addresses"], strict=True):
        assert str(port) in each["failed"]["cause"]
    screen = capsys.readouterr().out
    assert "address 2 of 2" in screen
    assert "hidden-pw" not in screen + json.dumps(report)


def test_a_missing_client_library(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pymongo", None)
    for module in [name for name in sys.modules if name.startswith("kombu.transport.mongodb")]:
        monkeypatch.delitem(sys.modules, module)
    code, report = examine(capsys, "mongodb://joe:hidden-pw@localhost/")
    assert (code, report["failed"]["step"]) == (1, "client library")
    assert "pip install 'kombu[mongodb]'" in report["failed"]["mend"]


def test_a_heartbeat_that_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    _, report = examine(capsys, "amqp://localhost//?heartbeat=often")
    assert "heartbeat" in report["failed"]["cause"]


def test_no_credentials_for_google() -> None:
    target = Target("gcpubsub", "", None, "/", None, False)
    error = ConnectionError("Your default credentials were not found. To set up ...")
    found = diagnose(error, target)
    assert found.kind == "no-credentials"
    assert "GOOGLE_APPLICATION_CREDENTIALS" in found.mend
