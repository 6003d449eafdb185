"""Servers that are not there, are something else, or say nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from kombu import Connection
from kombu.transport.http import Server
from t.services.pool import Servers

SCHEMES = ("etcd", "consul")


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_silent_server_is_given_up(scheme: str, silent: int) -> None:
    connection = Connection(
        f"{scheme}://user:secret@127.0.0.1:{silent}", transport_options={"operation_timeout": 0.3}
    )
    begun = time.monotonic()
    with pytest.raises(connection.recoverable_connection_errors) as caught:
        connection.connect()
    assert time.monotonic() - begun < 5
    assert "secret" not in repr(caught.value)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nobody_listens(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    connection = Connection(f"{scheme}://127.0.0.1:{port}")
    with pytest.raises(connection.recoverable_connection_errors, match=str(port)):
        connection.connect()


@pytest.mark.server("consul")
def test_a_server_without_version_2_keys_is_named(servers: Servers) -> None:
    port = urlsplit(servers.env("consul")["CONSUL_URL"]).port
    connection = Connection(f"etcd://127.0.0.1:{port}")
    with pytest.raises(connection.connection_errors, match="--enable-v2=true") as caught:
        connection.connect()
    assert not isinstance(caught.value, connection.recoverable_connection_errors)


@pytest.mark.server("etcd")
def test_a_server_that_is_no_consul_is_named(servers: Servers) -> None:
    port = urlsplit(servers.env("etcd")["ETCD_URL"]).port
    connection = Connection(f"consul://127.0.0.1:{port}")
    with pytest.raises(connection.connection_errors, match="is no Consul agent"):
        connection.connect()


def test_headers_are_shown_nowhere() -> None:
    server = Server("localhost", 1, {"X-Consul-Token": "secret"}, 1.0, 1.0)
    assert "secret" not in repr(server)
