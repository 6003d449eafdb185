"""Prefork workers on Kafka and Pub/Sub, whose transports take part in Celery's event loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from celery import group

from t.integration.celery.workers import PATIENCE, Site, lines
from t.integration.kafka.settings import TANSU
from t.services.pool import Servers


def work(site: Site, log: Path) -> None:
    worker = site.worker("--concurrency", "2")
    app = site.make_app()
    add = app.tasks["add"]
    many = group(add.s(number, 1) for number in range(50))()
    assert many.get(timeout=PATIENCE) == list(range(1, 51))
    app.tasks["note"].apply_async((str(log), "late"), countdown=1).get(timeout=PATIENCE)
    assert len(lines(log)) == 1
    assert app.control.inspect([worker.name], timeout=10, limit=1).ping()
    assert worker.stop() == 0


@pytest.mark.server("kafka")
@pytest.mark.server("redis")
@pytest.mark.timeout(180)
def test_kafka(
    make_site: Callable[..., Site], servers: Servers, redis_results: str, tmp_path: Path
) -> None:
    site = make_site(
        servers.env("kafka")["KAFKA_URL"], redis_results, {"broker_transport_options": TANSU}
    )
    work(site, tmp_path / "ran")


@pytest.mark.server("pubsub")
@pytest.mark.server("redis")
@pytest.mark.timeout(180)
def test_pubsub(
    make_site: Callable[..., Site],
    servers: Servers,
    redis_results: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", servers.env("pubsub")["PUBSUB_EMULATOR_HOST"])
    options = {"ack_deadline_seconds": 10, "wait_time_seconds": 2}
    site = make_site(
        f"gcpubsub://projects/{tmp_path.name.replace('_', '-')}",
        redis_results,
        {"broker_transport_options": options},
    )
    work(site, tmp_path / "ran")
