"""The fault proxy does what it says."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from kombu.testing.faults import FaultProxy, frozen, kill


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it receives."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(peer: socket.socket) -> None:
        with peer:
            try:
                while data := peer.recv(65536):
                    peer.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(peer,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


@pytest.fixture
def proxy(echo: int) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", echo) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
        client.settimeout(5)
        yield client


def echoed(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    got = b""
    while len(got) < len(data):
        chunk = client.recv(65536)
        if not chunk:
            break
        got += chunk
    return got


def test_passes_on(proxy: FaultProxy, client: socket.socket) -> None:
    assert echoed(client, b"x" * 200_000) == b"x" * 200_000
    traffic = proxy.traffic
    assert (traffic.connections, traffic.open) == (1, 1)
    assert traffic.up == traffic.down == 200_000


def test_latency(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.set(latency=0.1)
    start = time.monotonic()
    assert echoed(client, b"x") == b"x"
    assert 0.2 <= time.monotonic() - start < 2


def test_latency_one_way(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.set(latency=0.1, direction="down")
    start = time.monotonic()
    assert echoed(client, b"x") == b"x"
    assert 0.1 <= time.monotonic() - start < 0.2


def test_rate(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.set(rate=10_000, direction="up")
    start = time.monotonic()
    assert echoed(client, b"x" * 3000) == b"x" * 3000
    assert 0.2 <= time.monotonic() - start < 2


def test_slice(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.set(slice=1)
    assert echoed(client, b"slowly") == b"slowly"


@pytest.mark.parametrize(("fault", "kept"), [("blackhole", False), ("freeze", True)])
def test_silence(proxy: FaultProxy, client: socket.socket, fault: str, kept: bool) -> None:
    proxy.set(**{fault: True})  # type: ignore[arg-type]
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        echoed(client, b"first")
    proxy.heal()
    client.settimeout(5)
    if kept:
        assert client.recv(5) == b"first"
    assert echoed(client, b"second") == b"second"


def test_refuse(proxy: FaultProxy) -> None:
    proxy.set(refuse=True)
    with pytest.raises(ConnectionResetError):
        socket.create_connection(("127.0.0.1", proxy.port), 5).recv(1)


def test_cut_after(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.set(cut_after=10, direction="up")
    with pytest.raises(ConnectionError):
        for _ in range(100):
            echoed(client, b"0123456789abcdef")


def test_reset(proxy: FaultProxy, client: socket.socket) -> None:
    assert echoed(client, b"x") == b"x"
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_close_clients(proxy: FaultProxy, client: socket.socket) -> None:
    assert echoed(client, b"x") == b"x"
    proxy.close_clients()
    assert client.recv(1) == b""


def test_port_in_use_is_said(echo: int) -> None:
    with pytest.raises(OSError):
        FaultProxy("127.0.0.1", echo, listen=echo).start()


def test_frozen_and_kill() -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys\nfor line in sys.stdin: print(line, end='', flush=True)",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.append(process.stdout.readline()))
    with frozen(process.pid):
        process.stdin.write("hello\n")
        process.stdin.flush()
        reader.start()
        reader.join(0.2)
        assert lines == []
    reader.join(5)
    assert lines == ["hello\n"]
    kill(process.pid)
    assert process.wait(5) == -9
    process.communicate()
