"""How workers end, and what becomes of their tasks: stopped, killed, cut off from the broker."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery

from t.integration.celery.workers import Program, Site, both, eventually, lines
from t.services.rabbitmq import RabbitMQ
from t.services.redis import Redis
from t.services.service import Service

pytestmark = pytest.mark.timeout(150)

LATE = {"task_acks_late": True, "worker_prefetch_multiplier": 1}

#: A dead worker's messages return after this many seconds, where the broker doesn't see it die.
LEASE = 2


@pytest.fixture(params=both)
def broker(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_site(
    make_site: Callable[..., Site], broker: str, broker_url: Callable[[str], str]
) -> Callable[..., Site]:
    options = {"lease": LEASE} if broker == "redis" else {}

    def open_site(**conf: object) -> Site:
        return make_site(broker_url(broker), "rpc://", conf=conf, options=options)

    return open_site


def send_naps(app: Celery, log: Path, count: int, seconds: float) -> list[str]:
    names = [f"nap{number}" for number in range(count)]
    for name in names:
        app.tasks["nap"].apply_async((str(log), name, seconds), ignore_result=True)
    return names


def ended(log: Path) -> list[str]:
    return [line.removeprefix("end ") for line in lines(log) if line.startswith("end ")]


def begun(log: Path) -> list[str]:
    return [line.removeprefix("begin ") for line in lines(log) if line.startswith("begin ")]


class TestStopping:
    def test_warm_shutdown_ends_what_runs_and_returns_the_rest(
        self, open_site: Callable[..., Site], tmp_path: Path
    ) -> None:
        site, log = open_site(), tmp_path / "ran"
        app = site.make_app()
        first = site.worker("--concurrency", "2")
        names = send_naps(app, log, 24, 0.2)
        eventually(lambda: len(begun(log)) >= 4, "four have begun")
        assert first.stop(signal.SIGTERM) == 0
        assert sorted(begun(log)) == sorted(ended(log))
        assert len(ended(log)) < len(names)
        site.worker("--concurrency", "2")
        eventually(lambda: len(ended(log)) >= len(names), "all have ended")
        assert Counter(ended(log)) == Counter(names)

    def test_shutdown_by_remote_control(
        self, open_site: Callable[..., Site], tmp_path: Path
    ) -> None:
        site = open_site()
        worker = site.worker("--concurrency", "1")
        site.make_app().control.shutdown(destination=[worker.name])
        assert worker.process.wait(20) == 0

    def test_a_killed_worker_comes_back_under_its_name(
        self, open_site: Callable[..., Site], tmp_path: Path
    ) -> None:
        site, name = open_site(), f"same-{tmp_path.name}@localhost"
        site.worker("--concurrency", "1", name=name).kill()
        (site.folder / f"{name}.log").unlink()
        site.worker("--concurrency", "1", name=name)
        inspect = site.make_app().control.inspect([name], timeout=20, limit=1)
        assert inspect.ping() == {name: {"ok": "pong"}}

    @pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGKILL])
    def test_late_acknowledged_tasks_of_a_worker_that_goes_run_elsewhere(
        self, open_site: Callable[..., Site], tmp_path: Path, how: signal.Signals
    ) -> None:
        site, log = open_site(**LATE), tmp_path / "ran"
        app = site.make_app()
        first = site.worker("--concurrency", "2", name="doomed")
        names = send_naps(app, log, 6, 1)
        eventually(lambda: len(begun(log)) >= 2, "two have begun")
        if how == signal.SIGKILL:
            os.killpg(first.process.pid, how)
        else:
            first.stop(how)
        cut_short = set(begun(log)) - set(ended(log))
        assert cut_short
        site.worker("--concurrency", "2", name="heir")
        eventually(lambda: set(ended(log)) == set(names), "each has ended somewhere")
        assert {name for name, times in Counter(begun(log)).items() if times > 1} <= cut_short


class TestPrefetch:
    def test_the_multiplier_is_the_limit(
        self, open_site: Callable[..., Site], tmp_path: Path
    ) -> None:
        site, log = open_site(worker_prefetch_multiplier=3), tmp_path / "ran"
        app = site.make_app()
        worker = site.worker("--concurrency", "1")
        send_naps(app, log, 20, 30)
        eventually(lambda: begun(log), "one has begun")
        # The running one is acknowledged; three wait in the worker.
        eventually(lambda: site.length(app) == 16, "16 of 20 left", timeout=10)
        inspect = app.control.inspect([worker.name], timeout=10, limit=1)
        assert len(inspect.reserved()[worker.name]) == 3
        assert site.length(app) == 16

    def test_late_acknowledgement_with_a_multiplier_of_one_takes_what_it_runs(
        self, open_site: Callable[..., Site], tmp_path: Path
    ) -> None:
        site, log = open_site(**LATE), tmp_path / "ran"
        app = site.make_app()
        worker = site.worker("--concurrency", "2")
        send_naps(app, log, 10, 30)
        eventually(lambda: len(begun(log)) == 2, "two have begun")
        inspect = app.control.inspect([worker.name], timeout=10, limit=1)
        assert len(inspect.active()[worker.name]) == 2
        assert site.length(app) == 8


class KeepingRedis(Redis):
    """Redis that loses nothing when it is killed."""

    name = ""

    def start(self) -> dict[str, str]:
        port = self.server("redis", None, "appendonly yes", "appendfsync always")
        self.ping(port)
        return {"REDIS_URL": f"redis://127.0.0.1:{port}/0"}


@pytest.fixture
def own_broker(broker: str) -> Iterator[tuple[Service, str]]:
    """A broker that the test may restart."""
    service: Service = KeepingRedis() if broker == "redis" else RabbitMQ()
    env = service.up()
    yield service, env.get("REDIS_URL") or env["RABBITMQ_URL"]
    service.stop()


class TestRestart:
    def test_a_worker_resumes_by_itself(
        self, own_broker: tuple[Service, str], make_site: Callable[..., Site], tmp_path: Path
    ) -> None:
        service, url = own_broker
        log = tmp_path / "ran"
        site = make_site(url, "rpc://", conf=LATE, options={})
        worker: Program = site.worker("--concurrency", "2")
        app = site.make_app()
        names = send_naps(app, log, 30, 0.1)
        eventually(lambda: len(ended(log)) >= 4, "four have ended")
        service.restart()
        eventually(lambda: set(ended(log)) == set(names), "all have ended", timeout=60)
        app.tasks["nap"].apply_async((str(log), "after", 0), ignore_result=True)
        eventually(lambda: "after" in ended(log), "one sent after the restart has run")
        assert worker.process.poll() is None
        # At most what ran when the broker went was not acknowledged and ran again.
        assert sum(Counter(ended(log)).values()) <= len(names) + 1 + 8
