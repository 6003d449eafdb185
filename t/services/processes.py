"""Server processes and free ports; each leads a session of its own and is stopped by pid."""

from __future__ import annotations

import contextlib
import glob
import os
import random
import signal
import socket
import time
from pathlib import Path

HOST = "127.0.0.1"
# Below the kernel's ephemeral range (32768+), so that no outgoing
# connection takes a port between our probing it and the server binding it.
PORTS = range(20000, 28000)


class ServiceError(Exception):
    """A server is not installed, did not start or died."""


def start_time(pid):
    """Kernel start time of `pid`, None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def alive(proc):
    return start_time(proc["pid"]) == proc["started"]


def group_alive(pgid):
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            fields = Path(path).read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == pgid and fields[0] not in "ZX":
            return True
    return False


def kill_group(proc, grace):
    """Terminate the group that `proc` leads; SIGKILL after `grace` seconds."""
    if not alive(proc):
        return
    pgid = proc["pid"]
    if grace:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pgid, proc.get("signal", signal.SIGTERM))
        end = time.monotonic() + grace
        while alive(proc) and time.monotonic() < end:
            time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, signal.SIGKILL)
    end = time.monotonic() + 10
    while group_alive(pgid) and time.monotonic() < end:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pgid, os.WNOHANG)
        time.sleep(0.02)


_given: set[int] = set()


def free_port(kind=socket.SOCK_STREAM):
    for _ in range(200):
        port = random.choice(PORTS)
        if port in _given:
            continue
        with socket.socket(socket.AF_INET, kind) as s:
            if kind == socket.SOCK_STREAM:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((HOST, port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise ServiceError(f"no free port in {PORTS}")
