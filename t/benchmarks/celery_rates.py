"""Publish and run rates of a Celery prefork worker: ``celery_rates.py URL [TASKS]``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

HERE = Path(__file__).resolve().parent
PATIENCE = 120.0


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def wait_for(path: Path, count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(lines(path)) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(lines(path))} of {count} tasks ran")
        time.sleep(0.02)


def rates(url: str, tasks: int = 3_000) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "ran"
        queue = f"bench-celery-{uuid4().hex[:6]}"
        os.environ.update(BENCH_BROKER=url, BENCH_LOG=str(log), BENCH_QUEUE=queue)
        sys.path.insert(0, str(HERE))
        from celery_app import app, note

        begin = time.perf_counter()
        for number in range(tasks):
            note.delay(number)
        published = time.perf_counter() - begin
        command = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-c", "2"]
        worker = subprocess.Popen(
            [*command, "--loglevel", "ERROR", "--without-mingle", "--without-gossip"],
            cwd=HERE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(log, tasks)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)
        with app.connection_for_write() as connection:
            connection.default_channel.queue_delete(queue)
        ran = sorted(float(line.split()[1]) for line in lines(log))
        different = len({line.split()[0] for line in lines(log)})
    return {
        "tasks published/s": tasks / published,
        "tasks run/s": (tasks - 1) / (ran[-1] - ran[0]),
        "tasks run": float(different),
    }


if __name__ == "__main__":
    print(json.dumps(rates(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3_000)))
