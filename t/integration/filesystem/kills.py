"""Kills consumers of a filesystem broker with SIGKILL and counts what was lost.

``python -m t.integration.filesystem.kills --messages 30000 --kills 60``

Consumers write a message's number to a file of their own before they acknowledge it. A message
that no consumer ever wrote down is lost. Nothing else counts: a message that was written down
and not acknowledged comes again, to another consumer.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from kombu import Connection, Queue

QUEUE = "kills"
CONSUMERS = 3


class Outcome(NamedTuple):
    """What was seen."""

    messages: int
    kills: int
    seen: int
    lost: int
    repeated: int
    seconds: float


def options(root: Path) -> dict[str, str]:
    """Transport options of a broker in ``root``, whose folders are made."""
    (root / "data").mkdir(exist_ok=True)
    return {
        "data_folder_in": str(root / "data"),
        "data_folder_out": str(root / "data"),
        "control_folder": str(root / "control"),
    }


def connect(root: Path) -> Any:
    return Connection("filesystem://", transport_options=options(root))


def consume(root: Path, notes: Path, prefetch: int) -> None:
    """What a consumer process does until it is killed."""
    with connect(root) as connection, open(notes, "ab", buffering=0) as file:
        channel = connection.channel()

        def received(message: Any) -> None:
            file.write(f"{message.payload}\n".encode())
            message.ack()

        consumer = channel.Consumer([Queue(QUEUE)(channel)], on_message=received)
        consumer.qos(prefetch_count=prefetch)
        consumer.consume()
        while True:
            connection.drain_events()


class Trial:
    """One run.

    Arguments:
        root: folder for everything.
        messages: how many are sent.
        kills: how many consumers are killed while they work.
    """

    def __init__(self, root: Path, messages: int, kills: int, prefetch: int = 20) -> None:
        self.root = root
        self.messages = messages
        self.kills = kills
        self.prefetch = prefetch
        self._started = 0
        self._consumers: list[tuple[subprocess.Popen[bytes], Path]] = []
        self._notes: list[Path] = []
        self._dice = random.Random(7)

    def run(self) -> Outcome:
        """Send, kill, wait for the rest, count."""
        begun = time.monotonic()
        self._send()
        for _ in range(CONSUMERS):
            self._start()
        try:
            killed = self._kill_all()
            self._finish()
        finally:
            for process, _ in self._consumers:
                process.kill()
                process.wait()
        noted = self._noted()
        seen = set(noted)
        return Outcome(
            self.messages,
            killed,
            len(seen),
            len(set(range(self.messages)) - seen),
            len(noted) - len(seen),
            time.monotonic() - begun,
        )

    def _send(self) -> None:
        with connect(self.root) as connection:
            producer = connection.Producer()
            Queue(QUEUE)(connection.default_channel).declare()
            for number in range(self.messages):
                producer.publish(number, exchange="", routing_key=QUEUE)

    def _start(self) -> None:
        self._started += 1
        notes = self.root / f"notes-{self._started}"
        notes.touch()
        command = [sys.executable, "-m", __spec__.name, "--consume", str(self.root), str(notes)]
        process = subprocess.Popen([*command, "--prefetch", str(self.prefetch)])
        self._consumers.append((process, notes))
        self._notes.append(notes)

    def _kill_all(self) -> int:
        """Kill one consumer after the other, each after it did its share of the messages."""
        share = max(self.messages // (self.kills + 2), 1)
        for number in range(self.kills):
            target = share * (number + 1)
            # Every consumer gets to work before one of them dies.
            while len(self._noted()) < target:
                self._check()
                time.sleep(0.01)
            time.sleep(self._dice.random() * 0.02)
            working = [each for each in self._consumers if each[1].stat().st_size]
            victim = self._dice.choice(working or self._consumers)
            os.kill(victim[0].pid, signal.SIGKILL)
            victim[0].wait()
            self._consumers.remove(victim)
            self._start()
        return self.kills

    def _check(self) -> None:
        for process, _ in self._consumers:
            if process.poll() is not None:
                raise RuntimeError(f"a consumer ended by itself: {process.returncode}")

    def _finish(self) -> None:
        """Wait until all is written down, or nothing has come for a while."""
        last, since = -1, time.monotonic()
        while True:
            count = len(set(self._noted()))
            if count >= self.messages:
                return
            if count != last:
                last, since = count, time.monotonic()
            elif time.monotonic() - since > 10:
                return
            time.sleep(0.1)

    def _noted(self) -> list[int]:
        lines = (path.read_bytes().split(b"\n")[:-1] for path in self._notes)
        return [int(line) for each in lines for line in each]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=30_000)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--prefetch", type=int, default=20)
    parser.add_argument("--consume", nargs=2, metavar=("ROOT", "NOTES"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.consume:
        consume(Path(given.consume[0]), Path(given.consume[1]), given.prefetch)
        return 0
    with tempfile.TemporaryDirectory() as root:
        outcome = Trial(Path(root), given.messages, given.kills, given.prefetch).run()
    print(outcome)
    return 1 if outcome.lost else 0


if __name__ == "__main__":
    sys.exit(main())
