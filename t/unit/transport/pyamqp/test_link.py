"""The socket: whole frames out of whatever arrives, and every wait bounded."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
import time

import pytest
from amqp.exceptions import FrameSyntaxError, UnexpectedFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from kombu.transport.pyamqp.link import TCPLink
from kombu.transport.pyamqp.wire import frame_header


def frame(kind, channel, payload):
    return frame_header.pack(kind, channel, len(payload)) + payload + b"\xce"


class Peer:
    """A link and the other end of its connection."""

    def __init__(self, **options):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            self.link = TCPLink(f"127.0.0.1:{port}", connect_timeout=5, **options)
            thread = threading.Thread(target=self.link.connect)
            thread.start()
            self.socket, _ = server.accept()
            thread.join(5)
        assert self.socket.recv(8) == b"AMQP\0\0\x09\1"

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.link.close()
        self.socket.close()


@pytest.fixture
def peer():
    with Peer() as peer:
        yield peer


frames = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, 8]), st.integers(0, 65535), st.binary(max_size=300)),
    max_size=6,
)


@settings(max_examples=30, deadline=None)
@given(frames, st.lists(st.integers(1, 50), max_size=20))
def test_frames_are_cut_from_any_segments(frames, cuts):
    data = b"".join(frame(*each) for each in frames)
    with Peer() as peer:
        seen = []
        for size in (*cuts, len(data)):
            piece, data = data[:size], data[size:]
            if not piece:
                break
            peer.socket.sendall(piece)
            peer.link.fill(5)
            seen += complete_frames(peer.link)
        while len(seen) < len(frames):
            peer.link.fill(5)
            seen += complete_frames(peer.link)
        assert seen == frames
        assert not peer.link.buffered


def complete_frames(link):
    return list(iter(link.next_frame, None))


def test_fill_ends_in_time_with_half_a_frame(peer):
    peer.socket.sendall(frame(1, 1, b"x" * 100)[:50])
    peer.link.fill(5)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        peer.link.fill(0.2)
    assert 0.15 < time.monotonic() - started < 1
    assert not peer.link.has_frame
    peer.socket.sendall(frame(1, 1, b"x" * 100)[50:])
    peer.link.fill(5)
    assert peer.link.next_frame() == (1, 1, b"x" * 100)


def test_no_wait_when_told_so(peer):
    with pytest.raises(TimeoutError):
        peer.link.fill(0)


def test_the_peer_closes(peer):
    peer.socket.close()
    with pytest.raises(ConnectionError):
        peer.link.fill(5)
    assert not peer.link.connected


def test_no_frame_end(peer):
    peer.socket.sendall(frame(1, 1, b"x")[:-1] + b"!")
    peer.link.fill(5)
    with pytest.raises(UnexpectedFrame, match="0x21"):
        peer.link.next_frame()


def test_a_frame_larger_than_agreed_is_refused_before_it_is_read(peer):
    peer.link.frame_max = 4096
    peer.socket.sendall(frame_header.pack(1, 1, 2**31) + b"x")
    peer.link.fill(5)
    with pytest.raises(FrameSyntaxError, match="4096"):
        peer.link.next_frame()


class TestWriting:
    def test_a_peer_that_does_not_read(self, peer):
        started = time.monotonic()
        with pytest.raises(TimeoutError), peer.link.having_timeout(0.3):
            peer.link.write(b"x" * 50_000_000)
        assert time.monotonic() - started < 3
        # A part of it went out: the rest of the stream would be misread.
        assert not peer.link.connected

    def test_write_timeout_is_the_default(self):
        with Peer(write_timeout=0.3) as peer, pytest.raises(TimeoutError):
            peer.link.write(b"x" * 50_000_000)

    def test_all_of_it_arrives_when_the_peer_is_slow(self, peer):
        data = os.urandom(8_000_000)
        received = bytearray()

        def read():
            while len(received) < len(data):
                received.extend(peer.socket.recv(100_000))

        thread = threading.Thread(target=read)
        thread.start()
        peer.link.write(data)
        thread.join(20)
        assert received == data

    def test_limits_are_those_of_the_own_thread(self, peer):
        entered, leave = threading.Event(), threading.Event()

        def limit():
            with peer.link.having_timeout(0.0):
                entered.set()
                leave.wait(5)

        thread = threading.Thread(target=limit)
        thread.start()
        entered.wait(5)
        threading.Timer(0.2, lambda: drain(peer.socket, 20_000_000)).start()
        peer.link.write(b"x" * 20_000_000)
        leave.set()
        thread.join(5)

    def test_interrupted_in_the_middle(self, peer):
        """A signal handler (a soft time limit, say) raises while a frame is going out."""

        class TimeIsUp(Exception):
            pass

        def handler(number, stack):
            raise TimeIsUp

        previous = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(TimeIsUp):
                peer.link.write(b"x" * 50_000_000)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        assert not peer.link.connected
        with pytest.raises(ConnectionError):
            peer.link.write(b"y")

    def test_waiting_for_another_thread_that_writes_is_bounded(self, peer):
        holds, release = threading.Event(), threading.Event()

        def write():
            with peer.link.write_lock:
                holds.set()
                release.wait(10)

        thread = threading.Thread(target=write)
        thread.start()
        holds.wait(5)
        started = time.monotonic()
        with peer.link.having_timeout(0.2), pytest.raises(TimeoutError), peer.link.write_lock:
            pass
        assert time.monotonic() - started < 2
        release.set()
        thread.join(5)
        with peer.link.having_timeout(0.2), peer.link.write_lock:
            peer.link.write(b"x")

    def test_after_closing(self, peer):
        peer.link.close()
        with pytest.raises(ConnectionError):
            peer.link.write(b"x")
        with pytest.raises(ConnectionError):
            peer.link.fill(1)


class GivenUp:
    """A socket whose peer's machine is gone, when TCP_USER_TIMEOUT is over."""

    def __init__(self, sock):
        self._sock = sock

    def recv(self, size):
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    def send(self, data):
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    def __getattr__(self, name):
        return getattr(self._sock, name)


@pytest.mark.parametrize("use", [lambda link: link.fill(5), lambda link: link.write(b"x")])
def test_the_kernels_timeout_is_a_lost_connection(peer, use):
    peer.link.sock = GivenUp(peer.link.sock)
    with pytest.raises(ConnectionAbortedError, match="timed out"):
        use(peer.link)
    assert not peer.link.connected


def drain(sock, size):
    while size:
        size -= len(sock.recv(min(size, 1_000_000)))


def test_tcp_options_by_name():
    with Peer(socket_settings={"TCP_KEEPIDLE": 7, "TCP_UNHEARD_OF": 1}) as peer:
        assert peer.link.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7
