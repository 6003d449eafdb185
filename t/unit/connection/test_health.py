"""The health check: what it says, how long it takes, and what it leaves alone."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from kombu import Connection


def test_healthy() -> None:
    with Connection("memory://") as connection:
        health = connection.check_health()
        assert health and health.healthy
        assert (health.transport, health.host, health.error) == ("memory", "localhost", None)
        assert health.latency is not None and 0 <= health.latency <= health.took < 5
        assert not connection.connected


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that accepts and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@pytest.fixture
def dead() -> int:
    """A port where nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_nobody_listens(scheme: str, dead: int, caplog: pytest.LogCaptureFixture) -> None:
    health = Connection(f"{scheme}://user:s3cret@127.0.0.1:{dead}//").check_health(timeout=2)
    assert not health
    assert (health.transport, health.host, health.latency) == (scheme, f"127.0.0.1:{dead}", None)
    assert health.error is not None and "refused" in health.error
    assert health.took < 3
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert vars(record)["kombu_host"] == f"127.0.0.1:{dead}"
    assert "s3cret" not in f"{health} {caplog.text}"


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_a_server_that_says_nothing(scheme: str, silent: int) -> None:
    begin = time.monotonic()
    health = Connection(f"{scheme}://127.0.0.1:{silent}//", connect_timeout=30).check_health(0.5)
    assert not health
    assert time.monotonic() - begin < 3


def test_alternates_are_tried(dead: int) -> None:
    connection = Connection([f"redis://127.0.0.1:{dead}", "memory://"])
    assert connection.check_health(timeout=2)


def test_what_no_waiting_mends_is_raised() -> None:
    with pytest.raises(KeyError):
        Connection("nonsense://").check_health()


def test_passwords_are_cut_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(connection: Connection) -> None:
        raise OSError("can't log in as me:s3cret at amqp://me:s3cret@host//")

    monkeypatch.setattr(Connection, "_establish_connection", fail)
    health = Connection("memory://", userid="me", password="s3cret").check_health(1)
    assert health.error == "OSError: can't log in as me:** at amqp://**@host//"
