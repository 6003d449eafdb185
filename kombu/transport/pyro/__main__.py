"""``python -m kombu.transport.pyro``: the broker process of the Pyro transport."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time

from kombu.transport.pyro.broker import BrokerServer
from kombu.transport.pyro.library import LIBRARY


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; 1 when the name server can't be reached."""
    parser = argparse.ArgumentParser(prog="python -m kombu.transport.pyro", description=__doc__)
    parser.add_argument("--name", default="kombu.broker", help="under which clients look for it")
    parser.add_argument("--host", default="localhost", help="interface to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0: a free one")
    parser.add_argument("--ns-host", default="localhost", help="host of the name server")
    parser.add_argument("--ns-port", type=int, default=9090, help="port of the name server")
    parser.add_argument(
        "--patience", type=float, default=10.0, help="seconds to wait for the name server"
    )
    given = parser.parse_args(arguments)
    server = BrokerServer(given.name, given.host, given.port, (given.ns_host, given.ns_port))
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    deadline = time.monotonic() + given.patience
    while True:
        try:
            server.start()
            break
        except (OSError, LIBRARY.errors.PyroError) as exc:
            if time.monotonic() > deadline or over.wait(0.2):
                print(f"no name server at {given.ns_host}:{given.ns_port}: {exc}", file=sys.stderr)
                return 1
    print(f"{given.name} at {server.uri}", flush=True)
    over.wait()
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
