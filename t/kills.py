"""Kills consumers of a broker with SIGKILL and counts what was lost.

``python -m t.kills sqla+sqlite:////tmp/trial.db --options '{"lease": 2}' --kills 60``

Consumers write a message's number to a file of their own before they acknowledge it. A message
that no consumer ever wrote down is lost. With ``--published`` the consumers are those of the
published package; messages are sent and counted by this checkout either way.
"""

from __future__ import annotations

import argparse
import json
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

ROOT = Path(__file__).resolve().parents[1]
QUEUE = "kills"
CONSUMERS = 3


class Outcome(NamedTuple):
    """What was seen."""

    messages: int
    kills: int
    lost: int
    repeated: int
    left: int
    seconds: float


def consume(url: str, options: dict[str, Any], notes: Path) -> None:
    """What a consumer process does until it is killed."""
    with (
        Connection(url, transport_options=options) as connection,
        open(notes, "ab", buffering=0) as file,
    ):
        channel = connection.channel()

        def received(message: Any) -> None:
            file.write(f"{message.payload}\n".encode())
            message.ack()

        consumer = channel.Consumer([Queue(QUEUE)(channel)], on_message=received)
        consumer.qos(prefetch_count=20)
        consumer.consume()
        while True:
            connection.drain_events()


class Trial:
    """One run.

    Arguments:
        url: of a broker on which no queue "kills" stands yet.
        options: transport options; with a lease of a few seconds.
        folder: for the consumers' notes.
        messages: how many are sent.
        kills: how many consumers are killed while they work.
        python: the interpreter of the consumers; whose kombu it has is on trial.
        backlog: how many messages wait at most, for servers whose every call takes longer the
            more messages wait; ``None``: all are sent first.
    """

    def __init__(
        self,
        url: str,
        options: dict[str, Any],
        folder: Path,
        messages: int,
        kills: int,
        python: str = sys.executable,
        backlog: int | None = None,
    ) -> None:
        self.url = url
        self.options = options
        self.folder = folder
        self.messages = messages
        self.kills = kills
        self.python = python
        self.backlog = messages if backlog is None else backlog
        self._sent = 0
        self._running: list[tuple[subprocess.Popen[bytes], Path]] = []
        self._started = 0
        self._dice = random.Random(7)

    def run(self) -> Outcome:
        """Send, kill, wait for the rest, count."""
        begun = time.monotonic()
        with self._connect() as connection:
            Queue(QUEUE)(connection.default_channel).declare()
            try:
                self._trouble(connection.Producer())
            finally:
                for process, _ in self._running:
                    process.terminate()
                    process.wait()
        noted = self._noted()
        lost = set(range(self.messages)) - set(noted)
        with self._connect() as connection:
            left = Queue(QUEUE)(connection.channel()).queue_declare(passive=True)[1]
        return Outcome(
            self.messages,
            self.kills,
            len(lost),
            len(noted) - len(set(noted)),
            int(left),
            time.monotonic() - begun,
        )

    def _trouble(self, producer: Any) -> None:
        self._send(producer, self.backlog)
        for _ in range(CONSUMERS):
            self._start()
        share = max(self.messages // (self.kills + 2), 1)
        for number in range(self.kills):
            self._until(share * (number + 1), producer)
            self._kill()
            self._start()
        self._until(self.messages, producer)

    def _send(self, producer: Any, count: int) -> None:
        for number in range(self._sent, min(count, self.messages)):
            producer.publish(number, exchange="", routing_key=QUEUE)
            self._sent = number + 1

    def _connect(self) -> Any:
        return Connection(self.url, transport_options=self.options)

    def _start(self) -> None:
        self._started += 1
        notes = self.folder / f"notes-{self._started}"
        notes.touch()
        ours = self.python == sys.executable
        command = [self.python, *(["-m", "t.kills"] if ours else [__file__])]
        process = subprocess.Popen(
            [*command, self.url, "--options", json.dumps(self.options), "--consume", str(notes)],
            cwd=ROOT if ours else self.folder,
            env=None if ours else without_paths(),
        )
        self._running.append((process, notes))

    def _kill(self) -> None:
        time.sleep(self._dice.random() * 0.02)
        working = [each for each in self._running if each[1].stat().st_size]
        victim = self._dice.choice(working or self._running)
        victim[0].send_signal(signal.SIGKILL)
        victim[0].wait()
        self._running.remove(victim)

    def _until(self, count: int, producer: Any, patience: float = 30.0) -> None:
        """Wait until so many messages are noted, or nothing has come for a while."""
        last, since = -1, time.monotonic()
        while (noted := len(set(self._noted()))) < count:
            if noted != last:
                last, since = noted, time.monotonic()
            elif time.monotonic() - since > patience:
                return
            self._send(producer, noted + self.backlog)
            time.sleep(0.05)

    def _noted(self) -> list[int]:
        return [
            int(line)
            for path in self.folder.glob("notes-*")
            for line in path.read_bytes().split(b"\n")[:-1]
        ]


def published() -> str:
    from t.peers import published_python  # the consumers of the other side can't import it

    return published_python()


def without_paths() -> dict[str, str]:
    """The environment for the other side: nothing in it says where modules are."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--options", type=json.loads, default={}, help="transport options as JSON")
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--backlog", type=int, help="how many messages wait at most")
    parser.add_argument("--published", action="store_true", help="consumers of the published kombu")
    parser.add_argument("--consume", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.consume:
        consume(given.url, given.options, given.consume)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        python = published() if given.published else sys.executable
        outcome = Trial(
            given.url,
            given.options,
            Path(folder),
            given.messages,
            given.kills,
            python,
            given.backlog,
        ).run()
    print(outcome)
    return 1 if outcome.lost else 0


if __name__ == "__main__":
    sys.exit(main())
