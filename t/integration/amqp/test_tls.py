"""What a TLS layer of its own buffers changes nothing of what arrives."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import closing
from pathlib import Path

import pytest

from kombu.transport.pyamqp.link import TLSLink

pytestmark = pytest.mark.server("rabbitmq")

#: Bytes of one message, its number in front; not a divisor of the buffers' sizes.
SIZE = 3000


@pytest.fixture
def peer(env):
    """A link and the other end of its connection, which reads only when it is asked to."""
    certificates = Path(env["RABBITMQ_TLS_CA"]).parent
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        options = {"ca_certs": env["RABBITMQ_TLS_CA"], "server_hostname": "localhost"}
        link = TLSLink(f"127.0.0.1:{port}", connect_timeout=5, ssl=options)
        thread = threading.Thread(target=link.connect)
        thread.start()
        accepted, _ = server.accept()
        other = context.wrap_socket(accepted, server_side=True)
        thread.join(5)
    other.settimeout(5)
    with closing(other), closing(link):
        assert other.recv(8) == b"AMQP\0\0\x09\1"
        yield link, other


def message(number: int) -> bytes:
    return number.to_bytes(4, "big") * (SIZE // 4)


def test_a_write_that_timed_out_leaves_nothing_behind(peer):
    """OpenSSL that has begun with a record sends it, whatever it is given next."""
    link, other = peer
    number = 0
    link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000)
    sent = []
    timeouts = 0
    while timeouts < 3 and link.connected:
        try:
            with link.having_timeout(0.05):
                link.write(message(number))
            sent.append(number)
        except TimeoutError:
            timeouts += 1
        number += 1
    received = bytearray()

    def read():
        try:
            while data := other.recv(65536):
                received.extend(data)
        except OSError:  # closed in the middle of a record
            pass

    reader = threading.Thread(target=read)
    reader.start()
    if link.connected:
        for last in range(number, number + 50):
            link.write(message(last))
            sent.append(last)
    link.close()
    reader.join(10)
    whole = len(received) // SIZE * SIZE
    assert received[:whole] == b"".join(map(message, sent))[:whole]
    assert whole


def test_one_thread_at_a_time_uses_the_session(peer):
    """OpenSSL allows no two; reading and heartbeats from a thread are."""
    link, other = peer
    used = threading.Lock()
    overlaps = []

    class Watched:
        def __init__(self, sock):
            self._sock = sock

        def __getattr__(self, name):
            return getattr(self._sock, name)

        def _alone(self, use, *args):
            if not used.acquire(blocking=False):
                overlaps.append(use)
                return use(*args)
            try:
                pause.wait(0.002)
                return use(*args)
            finally:
                used.release()

        def recv(self, size):
            return self._alone(self._sock.recv, size)

        def send(self, data):
            return self._alone(self._sock.send, data)

    pause = threading.Event()
    link.sock = Watched(link.sock)

    def write():
        for _ in range(20):
            link.write(b"x" * 100)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        other.send(b"y" * 10)
        link.fill(1)
    writer.join(5)
    assert overlaps == []
