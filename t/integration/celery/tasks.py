"""A Celery application whose broker comes from the environment, for workers of their own."""

from __future__ import annotations

import json
import os
from typing import Any

from celery import Celery

BROKER = os.environ.get("KOMBU_TEST_BROKER", "memory://")
BACKEND = os.environ.get("KOMBU_TEST_BACKEND", "cache+memory://")


def make_app(broker: str = BROKER, backend: str = BACKEND, **options: Any) -> Celery:
    app = Celery("kombu_tests", broker=broker, backend=backend)
    app.conf.update(
        broker_transport_options=options or json.loads(os.environ.get("KOMBU_TEST_OPTIONS", "{}")),
        broker_connection_retry_on_startup=True,
        worker_prefetch_multiplier=4,
        task_default_queue="kombu_tests",
        result_expires=300,
    )

    @app.task(name="add", shared=False)
    def add(left: int, right: int) -> int:
        return left + right

    @app.task(name="total", shared=False)
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task(name="flaky", shared=False, bind=True, max_retries=5)
    def flaky(self: Any, fail_times: int) -> int:
        if self.request.retries < fail_times:
            raise self.retry(countdown=0.05)
        return int(self.request.retries)

    @app.task(name="touch", shared=False)
    def touch(path: str) -> None:
        with open(path, "a") as file:
            file.write("ran\n")

    return app


app = make_app()
