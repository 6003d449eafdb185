"""Celery programs as processes: started, watched through their logs, ended in every way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery

from t.integration.celery.worker_app import configured
from t.peers import ROOT

#: Seconds granted to what takes a fraction of one, because machines of CI are slow.
PATIENCE = 30.0
STEP = 0.02


#: Runs a test, or all of a module's tests, on both brokers.
both = [
    pytest.param("redis", marks=pytest.mark.server("redis")),
    pytest.param("amqp", marks=[pytest.mark.server("rabbitmq"), pytest.mark.server("redis")]),
]


def eventually(condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
    """Wait until it holds, and return what it returned."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(STEP)
    return value


def lines(path: Path) -> list[str]:
    """Lines written by tasks, without their times."""
    if not path.exists():
        return []
    return [line.rpartition(" ")[0] for line in path.read_text().splitlines()]


@dataclass
class Site:
    """A broker, a default queue nobody else uses, and the programs that run on it."""

    folder: Path
    broker: str
    backend: str
    conf: dict[str, Any] = field(default_factory=dict)
    queues: dict[str, dict[str, Any]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    queue: str = field(default_factory=lambda: f"celery-{uuid4().hex[:8]}")
    programs: list[Program] = field(default_factory=list)

    def make_app(self) -> Celery:
        """The application as the programs see it."""
        return configured(
            self.broker, self.backend, self.queue, self.conf, self.queues, self.options
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            "KOMBU_TEST_BROKER": self.broker,
            "KOMBU_TEST_BACKEND": self.backend,
            "KOMBU_TEST_QUEUE": self.queue,
            "KOMBU_TEST_CONF": json.dumps(self.conf),
            "KOMBU_TEST_QUEUES": json.dumps(self.queues),
            "KOMBU_TEST_OPTIONS": json.dumps(self.options),
        }

    def worker(self, *arguments: str, name: str = "", ready: bool = True) -> Program:
        """Start ``celery worker`` and wait until it says that it is ready."""
        if "@" not in name:
            name = f"{name or 'worker'}-{uuid4().hex[:6]}@localhost"
        quiet = ("--without-mingle", "--without-gossip", "--loglevel", "INFO")
        worker = self.program(name, "worker", "--hostname", name, *quiet, *arguments)
        if ready:
            eventually(lambda: worker.says(f"{name} ready."), f"{name} ready")
        return worker

    def program(self, name: str, *arguments: str) -> Program:
        program = Program(name, self.folder / f"{name}.log", arguments, self.environment)
        self.programs.append(program)
        return program

    def close(self) -> None:
        for program in self.programs:
            program.kill()

    def length(self, app: Celery, queue: str = "") -> int:
        """Messages in a queue that no worker has taken."""
        with app.connection_for_write() as connection:
            declared = connection.default_channel.queue_declare(queue or self.queue, passive=True)
            return int(declared.message_count)


class Program:
    """One ``celery`` process, leader of its own group."""

    def __init__(
        self, name: str, log: Path, arguments: tuple[str, ...], environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.path = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "celery",
                    "-A",
                    "t.integration.celery.worker_app",
                    *arguments,
                ],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.path.read_text(errors="replace")

    def says(self, text: str) -> bool:
        """Whether its log has this text; fails at once when the process has ended."""
        found = text in self.log
        assert found or self.process.poll() is None, f"{self.name} ended:\n{self.log[-3000:]}"
        return found

    def cpu_seconds(self) -> float:
        """Processor time of the process itself, not of its pool."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit status."""
        self.send(number)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """SIGKILL for it and its pool."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
