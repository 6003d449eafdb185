"""Probes: whether a server answers by now."""

from __future__ import annotations

import socket
import subprocess
import urllib.error
import urllib.request

from t.services.processes import HOST


def tcp_ready(port, send=b"", expect=b""):
    """A probe: the port answers `send` with something that has `expect`."""

    def probe():
        with socket.create_connection((HOST, port), 1) as s:
            s.settimeout(2)
            if send:
                s.sendall(send)
            return not expect or expect in s.recv(4096)

    return probe


def http_ready(url, codes=(200,), headers=None):
    def probe():
        try:
            req = urllib.request.Request(url, headers=headers or {})
            with urllib.request.urlopen(req, timeout=3) as r:
                return r.status in codes
        except urllib.error.HTTPError as exc:
            return exc.code in codes

    return probe


def cmd_ready(argv, expect="", env=None):
    def probe():
        r = subprocess.run(argv, capture_output=True, text=True, timeout=10, env=env)
        return r.returncode == 0 and expect in r.stdout

    return probe
