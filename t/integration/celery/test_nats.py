"""A prefork worker on NATS, whose transport takes part in Celery's event loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from celery import group

from t.integration.celery.workers import PATIENCE, Site, lines
from t.services.pool import Servers


@pytest.mark.server("nats")
@pytest.mark.timeout(120)
def test_a_prefork_worker(make_site: Callable[..., Site], servers: Servers, tmp_path: Path) -> None:
    site = make_site(f"{servers.env('nats')['NATS_URL']}/{tmp_path.name}", "rpc://")
    worker = site.worker("--concurrency", "2")
    app = site.make_app()
    add, log = app.tasks["add"], tmp_path / "ran"
    many = group(add.s(number, 1) for number in range(100))()
    assert many.get(timeout=PATIENCE) == list(range(1, 101))
    app.tasks["note"].apply_async((str(log), "late"), countdown=1).get(timeout=PATIENCE)
    assert lines(log) == ["late"]
    assert app.control.inspect([worker.name], timeout=10, limit=1).ping()
    assert worker.stop() == 0
