"""A task longer than its lease: delivered once; its worker killed: delivered again within it.

``python -m t.longtasks redis://localhost --seconds 600 --lease 30 [--celery]``

Without ``--celery`` the owner is a plain consumer whose handler blocks all the while; with it
a Celery worker with a prefork pool and late acknowledgement. A second one of the same kind
waits for the queue, so that whatever comes back too early is run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from kombu import Connection, Queue

#: Seconds that a consumer may take to start.
STARTING = 60.0


class Outcome(NamedTuple):
    """What was seen.

    Arguments:
        runs: how often the long task was begun (1 is right).
        ended: how often it was done.
        back_after: seconds from the kill until the second task ran elsewhere; ``None``: never.
    """

    runs: int
    ended: int
    back_after: float | None


def work(notes: Path, name: str, seconds: float) -> None:
    """Note the beginning, sleep, note the end."""
    with open(notes, "a", buffering=1) as file:
        file.write(f"begin {name} {os.getpid()} {time.time()}\n")
        time.sleep(seconds)
        file.write(f"end {name} {os.getpid()} {time.time()}\n")


def consume(url: str, options: dict[str, Any], queue: str, notes: Path) -> None:
    """What a plain consumer does."""

    def received(message: Any) -> None:
        name, seconds = message.payload
        work(notes, name, seconds)
        message.ack()

    with Connection(url, transport_options=options) as connection:
        consumer = connection.Consumer([Queue(queue)], on_message=received, prefetch_count=1)
        with consumer:
            notes.with_suffix(f".{os.getpid()}").touch()
            while True:
                connection.drain_events()


def celery_app(url: str, options: dict[str, Any], queue: str) -> Any:
    """An application with one task."""
    from celery import Celery

    app = Celery("longtasks", broker=url)
    app.conf.update(
        task_default_queue=queue,
        broker_transport_options=options,
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        task_ignore_result=True,
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
    )

    @app.task(name="long", shared=False)  # type: ignore[untyped-decorator]
    def long(notes: str, name: str, seconds: float) -> None:
        work(Path(notes), name, seconds)

    return app


def run_celery(url: str, options: dict[str, Any], queue: str, notes: Path) -> None:
    """What a Celery worker does."""
    app = celery_app(url, options, queue)
    from celery.signals import worker_ready

    def ready(**_: Any) -> None:
        notes.with_suffix(f".{os.getpid()}").touch()

    worker_ready.connect(ready, weak=False)
    app.Worker(
        concurrency=1, pool="prefork", loglevel="ERROR", hostname=f"{os.getpid()}@x", quiet=True
    ).start()


class Trial:
    """One run.

    Arguments:
        url: of the broker.
        lease: option ``visibility_timeout``, seconds.
        celery: whether Celery workers run the tasks.
    """

    def __init__(self, url: str, lease: float, celery: bool) -> None:
        self.url, self.celery = url, celery
        self.options = {"visibility_timeout": lease}
        self.queue = f"long-{uuid4().hex[:8]}"
        self.notes = Path(tempfile.mkdtemp()) / "notes"
        self.notes.touch()
        self.consumers: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        order = [self.url, self.options, self.queue, str(self.notes), self.celery]
        consumer = subprocess.Popen(
            [sys.executable, "-m", "t.longtasks", "--run", json.dumps(order)],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.consumers.append(consumer)
        ready = self.notes.with_suffix(f".{consumer.pid}")
        if not self.wait(ready.exists, STARTING):
            raise RuntimeError(f"consumer {consumer.pid} did not start")
        return consumer

    def send(self, name: str, seconds: float) -> None:
        if self.celery:
            app = celery_app(self.url, self.options, self.queue)
            app.tasks["long"].delay(str(self.notes), name, seconds)
            app.close()
            return
        with Connection(self.url, transport_options=self.options) as connection:
            queue = Queue(self.queue)
            connection.Producer().publish([name, seconds], routing_key=self.queue, declare=[queue])

    def lines(self, word: str, name: str) -> list[list[str]]:
        rows = [line.split() for line in self.notes.read_text().splitlines()]
        return [row for row in rows if row[:2] == [word, name]]

    @staticmethod
    def wait(condition: Callable[[], Any], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.02)
        return bool(condition())

    @staticmethod
    def kill(consumer: subprocess.Popen[bytes]) -> None:
        """The process, and those that it forked."""
        os.killpg(consumer.pid, signal.SIGKILL)
        consumer.wait()

    def run(self, seconds: float) -> Outcome:
        lease = self.options["visibility_timeout"]
        try:
            first, second = self.start(), self.start()
            self.send("task", seconds)
            self.wait(lambda: self.lines("end", "task"), seconds + lease + 20)
            # Whatever is delivered again would have begun by now.
            time.sleep(lease / 3)
            runs, ended = len(self.lines("begin", "task")), len(self.lines("end", "task"))
            self.send("killed", 3600)
            self.wait(lambda: self.lines("begin", "killed"), 20)
            running = int(self.lines("begin", "killed")[0][2])
            owner = first if os.getpgid(running) == first.pid else second
            killed = time.time()
            self.kill(owner)
            back = self.wait(lambda: len(self.lines("begin", "killed")) > 1, 2 * lease + 20)
            after = float(self.lines("begin", "killed")[1][3]) - killed if back else None
            return Outcome(runs, ended, after)
        finally:
            for consumer in self.consumers:
                if consumer.poll() is None:
                    self.kill(consumer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--seconds", type=float, default=600, help="length of the task")
    parser.add_argument("--lease", type=float, default=30, help="visibility_timeout")
    parser.add_argument("--celery", action="store_true", help="Celery workers, prefork")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        url, options, queue, notes, celery = json.loads(given.run)
        (run_celery if celery else consume)(url, options, queue, Path(notes))
        return
    print(Trial(given.url, given.lease, given.celery).run(given.seconds), flush=True)


if __name__ == "__main__":
    main()
