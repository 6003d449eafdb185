"""``celery worker`` with a prefork pool on MongoDB, ZooKeeper and SQS.

KOMBU_CELERY_TASKS says how many tasks (40 by default). SQS is run with and without pycurl: the
worker must do with either.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from t.integration.celery.workers import PATIENCE, Site, eventually, lines
from t.services.pool import Servers

TASKS = int(os.environ.get("KOMBU_CELERY_TASKS", "40"))

pytestmark = pytest.mark.timeout(120 + TASKS)


class Broker(NamedTuple):
    url: str
    options: dict[str, Any]


def mongodb(servers: Servers) -> Broker:
    url = servers.env("mongodb")["MONGODB_URL"].rpartition("/")[0]
    return Broker(f"{url}/celery_{uuid4().hex[:8]}", {"lease": 5})


def zookeeper(servers: Servers) -> Broker:
    url = servers.env("zookeeper")["ZOOKEEPER_URL"]
    return Broker(f"{url}/celery-{uuid4().hex[:8]}", {"session_timeout": 4})


def sqs(servers: Servers) -> Broker:
    environment = servers.env("sqs")
    options = {
        "endpoint_url": environment["SQS_ENDPOINT"],
        "is_secure": False,
        "region": "us-east-1",
        "queue_name_prefix": f"{uuid4().hex[:8]}-",
        "supports_fanout": True,
        "lease": 5,
    }
    return Broker(environment["SQS_URL"], options)


STORES = [
    pytest.param((mongodb, False), id="mongodb", marks=pytest.mark.server("mongodb")),
    pytest.param((zookeeper, False), id="zookeeper", marks=pytest.mark.server("zookeeper")),
    pytest.param((sqs, False), id="sqs", marks=pytest.mark.server("sqs")),
    pytest.param((sqs, True), id="sqs-without-pycurl", marks=pytest.mark.server("sqs")),
]


@pytest.fixture
def site(
    request: pytest.FixtureRequest,
    servers: Servers,
    make_site: Callable[..., Site],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    made, without_pycurl = request.param
    broker: Broker = made(servers)
    if without_pycurl:
        stub = tmp_path / "stubs"
        stub.mkdir()
        (stub / "pycurl.py").write_text("raise ImportError('left out by a test')\n")
        monkeypatch.setenv("PYTHONPATH", str(stub))
    return make_site(broker.url, "cache+memory://", options=broker.options)


@pytest.mark.parametrize("site", STORES, indirect=True)
def test_tasks_control_and_shutdown(site: Site, tmp_path: Path) -> None:
    log = tmp_path / "ran"
    worker = site.worker("--concurrency", "2")
    app = site.make_app()
    note = app.tasks["note"]
    for number in range(TASKS):
        note.delay(str(log), str(number))
    eventually(lambda: len(lines(log)) >= TASKS, f"{TASKS} tasks", timeout=PATIENCE + TASKS)
    assert sorted(map(int, lines(log))) == list(range(TASKS))
    note.apply_async((str(log), "late"), countdown=1.5)
    replies = app.control.inspect([worker.name], timeout=PATIENCE, limit=1).ping()
    assert replies == {worker.name: {"ok": "pong"}}
    eventually(lambda: lines(log)[-1] == "late", "the task with a countdown")
    assert worker.stop() == 0


@pytest.mark.parametrize("site", STORES[:3], indirect=True)
def test_a_killed_workers_task_is_run_by_another(site: Site, tmp_path: Path) -> None:
    site.conf.update(task_acks_late=True, worker_prefetch_multiplier=1)
    log = tmp_path / "ran"
    first = site.worker("--concurrency", "1")
    app = site.make_app()
    app.tasks["nap"].delay(str(log), "task", 3)
    eventually(lambda: lines(log) == ["begin task"], "the task has begun")
    os.killpg(first.process.pid, signal.SIGKILL)
    site.worker("--concurrency", "1")
    eventually(lambda: "end task" in lines(log), "another worker runs it", timeout=2 * PATIENCE)
