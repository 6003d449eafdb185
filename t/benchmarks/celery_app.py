"""The Celery application of the worker benchmark; broker and log file come from the environment."""

from __future__ import annotations

import os
import time

from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=16,
    broker_connection_retry_on_startup=True,
    task_default_queue=os.environ.get("BENCH_QUEUE", "bench-celery"),
    worker_hijack_root_logger=False,
)


@app.task(name="note")
def note(number: int) -> None:
    """Leave one line a run, in one write, so that runs can be counted and timed."""
    descriptor = os.open(os.environ["BENCH_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{number} {time.time():.6f}\n".encode())
    finally:
        os.close(descriptor)
