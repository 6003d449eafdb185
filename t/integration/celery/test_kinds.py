"""Other kinds of pools, queues and programs: threads, solo, priorities, broadcast, beat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import group

from t.integration.celery.workers import PATIENCE, Site, both, eventually, lines

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(params=both)
def broker(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestPools:
    @pytest.mark.parametrize("pool", ["threads", "solo"])
    def test_a_pool_with_rpc_results(
        self,
        make_site: Callable[..., Site],
        broker: str,
        broker_url: Callable[[str], str],
        pool: str,
        tmp_path: Path,
    ) -> None:
        site = make_site(broker_url(broker), "rpc://")
        worker = site.worker("--pool", pool, "--concurrency", "4")
        app = site.make_app()
        add, log = app.tasks["add"], tmp_path / "ran"
        assert add.delay(2, 3).get(timeout=PATIENCE) == 5
        many = group(add.s(number, 1) for number in range(40))()
        assert many.get(timeout=PATIENCE) == list(range(1, 41))
        assert app.tasks["flaky"].delay(2).get(timeout=PATIENCE) == 2
        app.tasks["note"].apply_async((str(log), "late"), countdown=1).get(timeout=PATIENCE)
        assert lines(log) == ["late"]
        assert app.control.inspect([worker.name], timeout=10, limit=1).ping()
        assert worker.stop() == 0

    @pytest.mark.server("redis")
    @pytest.mark.parametrize("pool", ["eventlet", "gevent"])
    def test_a_green_pool(
        self, make_site: Callable[..., Site], broker_url: Callable[[str], str], pool: str
    ) -> None:
        site = make_site(broker_url("redis"), "rpc://")
        worker = site.worker("--pool", pool, "--concurrency", "20")
        add = site.make_app().tasks["add"]
        # One by one: for each the worker, whose select and os are patched, is woken.
        for number in range(10):
            assert add.delay(number, 1).get(timeout=PATIENCE) == number + 1
        assert worker.stop() == 0


class TestPriorities:
    def test_the_urgent_first(
        self,
        make_site: Callable[..., Site],
        broker: str,
        broker_url: Callable[[str], str],
        tmp_path: Path,
    ) -> None:
        conf: dict[str, Any] = {"task_acks_late": True, "worker_prefetch_multiplier": 1}
        if broker == "amqp":
            conf["task_queue_max_priority"] = 9
        site = make_site(broker_url(broker), "rpc://", conf=conf)
        app, log = site.make_app(), tmp_path / "ran"
        site.worker("--concurrency", "1")
        app.tasks["nap"].delay(str(log), "first", 1.5)
        eventually(lambda: lines(log), "the first has begun")
        # 0 is the most urgent on Redis, 9 on RabbitMQ.
        order = [9, 6, 3, 0] if broker == "redis" else [0, 3, 6, 9]
        for priority in order:
            app.tasks["note"].apply_async((str(log), str(priority)), priority=priority)
        eventually(lambda: len(lines(log)) == 6, "all have run")
        assert lines(log)[2:] == [str(priority) for priority in reversed(order)]


class TestBroadcast:
    def test_every_worker_runs_it(
        self,
        make_site: Callable[..., Site],
        broker: str,
        broker_url: Callable[[str], str],
        tmp_path: Path,
    ) -> None:
        news = f"news-{tmp_path.name}"
        site = make_site(broker_url(broker), "rpc://", queues={news: {"type": "broadcast"}})
        site.worker("--pool", "solo", name="one")
        site.worker("--pool", "solo", name="two")
        app, log = site.make_app(), tmp_path / "ran"
        app.tasks["note"].apply_async((str(log), "news"), queue=news)
        eventually(lambda: len(lines(log)) == 2, "both have run it")
        app.tasks["note"].apply_async((str(log), "once")).get(timeout=PATIENCE)
        assert sorted(lines(log)) == ["news", "news", "once"]


class TestBeat:
    def test_publishes_every_second(
        self,
        make_site: Callable[..., Site],
        broker: str,
        broker_url: Callable[[str], str],
        tmp_path: Path,
    ) -> None:
        log = tmp_path / "ran"
        tick = {"task": "note", "schedule": 1.0, "args": [str(log), "tick"]}
        site = make_site(broker_url(broker), "rpc://", conf={"beat_schedule": {"tick": tick}})
        site.worker("--pool", "solo")
        beat = site.program("beat", "beat", "--schedule", str(tmp_path / "schedule"))
        eventually(lambda: len(lines(log)) >= 4, "four ticks")
        assert beat.stop() == 0
        times = [float(line.split()[1]) for line in log.read_text().splitlines()]
        assert times[3] - times[0] < 6
