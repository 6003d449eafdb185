"""Celery 5.7 on the brokers that need no server: nothing in it may notice whose kombu this is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.contrib.testing.worker import start_worker

from t.integration.celery.tasks import make_app

PATIENCE = 20.0


@pytest.fixture(params=["memory", "filesystem"], scope="module")
def app(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Celery]:
    options: dict[str, Any] = {}
    if request.param == "filesystem":
        tmp_path = tmp_path_factory.mktemp("broker")
        folder = tmp_path / "messages"
        folder.mkdir()
        options = {
            "data_folder_in": str(folder),
            "data_folder_out": str(folder),
            "control_folder": str(tmp_path / "control"),
        }
    made = make_app(f"{request.param}://", "cache+memory://", **options)
    yield made
    made.close()


@pytest.fixture(scope="module")
def worker(app: Celery) -> Iterator[Any]:
    """One worker for all tests of a broker: Celery takes two drains of 2 s to stop one."""
    with start_worker(
        app, perform_ping_check=False, pool="threads", concurrency=4, shutdown_timeout=PATIENCE
    ) as running:
        yield running


@pytest.mark.usefixtures("worker")
class TestWorker:
    def test_runs_a_task(self, app: Celery) -> None:
        assert app.tasks["add"].delay(2, 3).get(timeout=PATIENCE) == 5

    def test_chain(self, app: Celery) -> None:
        add = app.tasks["add"]
        assert chain(add.s(1, 2), add.s(10), add.s(100))().get(timeout=PATIENCE) == 113

    def test_group(self, app: Celery) -> None:
        add = app.tasks["add"]
        result = group(add.s(number, number) for number in range(20))()
        assert result.get(timeout=PATIENCE) == [2 * number for number in range(20)]

    def test_chord(self, app: Celery) -> None:
        add, total = app.tasks["add"], app.tasks["total"]
        result = chord([add.s(number, 1) for number in range(5)])(total.s())
        assert result.get(timeout=PATIENCE) == 15

    def test_eta_is_not_early(self, app: Celery) -> None:
        begin = time.monotonic()
        assert app.tasks["add"].apply_async((1, 1), countdown=1.5).get(timeout=PATIENCE) == 2
        assert 1.4 <= time.monotonic() - begin < PATIENCE

    def test_retries(self, app: Celery) -> None:
        assert app.tasks["flaky"].delay(3).get(timeout=PATIENCE) == 3

    def test_inspect_ping(self, app: Celery, worker: Any) -> None:
        replies = app.control.inspect(timeout=5, limit=1).ping()
        assert replies and list(replies.values()) == [{"ok": "pong"}]

    def test_a_revoked_task_does_not_run(self, app: Celery, tmp_path: Path) -> None:
        marker = tmp_path / "ran"
        touch, add = app.tasks["touch"], app.tasks["add"]
        doomed = touch.apply_async((str(marker),), countdown=2)
        app.control.revoke(doomed.id, reply=True, timeout=5, limit=1)
        assert add.apply_async((1, 1), countdown=3).get(timeout=PATIENCE) == 2
        assert not marker.exists()

    def test_many_tasks(self, app: Celery) -> None:
        add = app.tasks["add"]
        results = [add.delay(number, 1) for number in range(300)]
        assert [result.get(timeout=PATIENCE) for result in results] == list(range(1, 301))
