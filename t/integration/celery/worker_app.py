"""The application that worker processes of the tests run; the environment configures it.

``KOMBU_TEST_BROKER``, ``KOMBU_TEST_BACKEND`` and ``KOMBU_TEST_OPTIONS`` as in
:mod:`t.integration.celery.tasks`; ``KOMBU_TEST_CONF`` holds further settings as JSON,
``KOMBU_TEST_QUEUES`` what the worker consumes besides its default queue.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from celery import Celery

from kombu import Exchange, Queue
from kombu.common import Broadcast
from t.integration.celery.tasks import BACKEND, BROKER, make_app


def note(path: str, text: str) -> None:
    """Append a line in one write, so that the lines of several processes don't mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{text} {time.time():.6f}\n".encode())
    finally:
        os.close(descriptor)


def queues_of(described: Mapping[str, Mapping[str, Any]]) -> list[Queue]:
    """Queues from JSON: name -> {type, exchange, key, arguments}; type ``broadcast`` is special."""
    made = []
    for name, what in described.items():
        if what.get("type") == "broadcast":
            made.append(Broadcast(name))
            continue
        exchange = Exchange(what.get("exchange", name), type=what.get("type", "direct"))
        arguments = what.get("arguments")
        made.append(Queue(name, exchange, what.get("key", name), queue_arguments=arguments))
    return made


def configured(
    broker: str,
    backend: str,
    queue: str,
    conf: Mapping[str, Any],
    queues: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],
) -> Celery:
    """An application with the tasks of the tests; worker and test make it alike."""
    app = make_app(broker, backend, **options)
    app.conf.update(
        task_default_queue=queue,
        task_queues=queues_of({queue: {}, **queues}),
        worker_hijack_root_logger=False,
        **conf,
    )

    @app.task(name="note", shared=False)
    def note_task(path: str, text: str) -> None:
        note(path, text)

    @app.task(name="nap", shared=False)
    def nap(path: str, text: str, seconds: float) -> int:
        note(path, f"begin {text}")
        time.sleep(seconds)
        note(path, f"end {text}")
        return os.getpid()

    return app


app = configured(
    BROKER,
    BACKEND,
    os.environ.get("KOMBU_TEST_QUEUE", "kombu_tests"),
    json.loads(os.environ.get("KOMBU_TEST_CONF", "{}")),
    json.loads(os.environ.get("KOMBU_TEST_QUEUES", "{}")),
    json.loads(os.environ.get("KOMBU_TEST_OPTIONS", "{}")),
)
