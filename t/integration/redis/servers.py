"""Real Redis servers of a test's own, which it may kill, restart and reconfigure."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import redis

BINARY = os.environ.get("REDIS_SERVER") or shutil.which("redis-server")
CLI = shutil.which("redis-cli")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class RedisServer:
    """One redis-server process on loopback.

    Arguments:
        directory: where it keeps its files.
        lines: further lines of its configuration.
        sentinel: run it as a sentinel.
    """

    def __init__(self, directory: Path, *lines: str, sentinel: bool = False) -> None:
        self.directory = directory
        self.port = free_port()
        self.sentinel = sentinel
        self.lines = lines
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self.configuration = directory / "redis.conf"
        self.configuration.write_text(
            "\n".join(
                [f"port {self.port}", "bind 127.0.0.1", f"dir {directory}", "protected-mode no"]
                + ([] if sentinel else ['save ""'])
                + list(lines)
            )
            + "\n"
        )

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, wait: bool = True) -> RedisServer:
        assert BINARY, "redis-server is not installed"
        command = [BINARY, str(self.configuration), *(["--sentinel"] if self.sentinel else [])]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        if wait:
            self.wait_until_ready()
        return self

    def client(self, **options: object) -> redis.Redis:
        return redis.Redis(port=self.port, protocol=2, socket_timeout=5, **options)  # type: ignore[arg-type]

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 15
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as sock:
                    sock.sendall(b"PING\r\n")
                    answer = sock.recv(100)
                    if answer.startswith((b"+PONG", b"-NOAUTH", b"-DENIED")):
                        return
            except OSError:
                pass
            assert time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.02)

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait(10)
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
