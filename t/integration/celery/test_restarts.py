"""A worker and beat whose broker is killed again and again.

KOMBU_TEST_RESTARTS says how often; 24 were tried once.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from t.integration.celery.workers import Site, eventually, lines
from t.services.rabbitmq import RabbitMQ

RESTARTS = int(os.environ.get("KOMBU_TEST_RESTARTS", "1"))

pytestmark = [
    pytest.mark.server("rabbitmq"),
    pytest.mark.timeout(120 + 60 * RESTARTS),
]


@pytest.fixture
def broker() -> Iterator[RabbitMQ]:
    broker = RabbitMQ()
    broker.up()
    yield broker
    broker.stop()


def test_worker_and_beat_resume_each_time(
    broker: RabbitMQ,
    make_site: Callable[..., Site],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = tmp_path / "ran"
    tick = {"task": "note", "schedule": 0.25, "args": (str(log), "tick")}
    conf = {"beat_schedule": {"tick": tick}, "task_acks_late": True}
    site = make_site(broker.env["RABBITMQ_URL"], "rpc://", conf=conf)
    worker = site.worker("--concurrency", "2")
    beat = site.program("beat", "beat", "--schedule", str(tmp_path / "schedule"))
    app = site.make_app()

    def ticks() -> int:
        return Counter(lines(log))["tick"]

    eventually(lambda: ticks() >= 2, "two ticks before the first restart")
    sent, took = [], []
    for number in range(RESTARTS):
        # One that waits in the queue while the broker is down, one that is sent afterwards.
        sent += [f"before-{number}", f"after-{number}"]
        app.tasks["nap"].apply_async((str(log), sent[-2], 0.3), ignore_result=True)
        broker.restart()
        up, ticked = monotonic(), ticks()
        app.tasks["nap"].apply_async((str(log), sent[-1], 0), ignore_result=True)
        eventually(lambda: {f"end {name}" for name in sent} <= set(lines(log)), "all ran", 60)  # noqa: B023
        eventually(lambda: ticks() >= ticked + 2, "beat ticks again", 60)  # noqa: B023
        took.append(monotonic() - up)
        assert worker.process.poll() is None
        assert beat.process.poll() is None
    runs = Counter(lines(log))
    again = sum(runs[f"end {name}"] - 1 for name in sent)
    with capsys.disabled():
        print(
            f" {RESTARTS} restarts, all {len(sent)} tasks ran, {again} of them again; back after "
            f"{sum(took) / len(took):.1f} s on average, {max(took):.1f} s at most",
            end=" ",
        )
    assert worker.stop() == 0
    assert beat.stop() == 0
