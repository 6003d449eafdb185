"""``celery worker`` with a prefork pool on real brokers: what it runs, and what it answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import TaskRevokedError

from t.integration.celery.workers import PATIENCE, Program, Site, both, eventually, lines

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(params=both, scope="module")
def site(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    broker_url: Callable[[str], str],
    redis_results: str,
) -> Iterator[Site]:
    topic = {"type": "topic", "exchange": f"media-{request.param}"}
    site = Site(
        tmp_path_factory.mktemp("celery"),
        broker_url(request.param),
        redis_results,
        conf={"worker_pool_restarts": True, "task_send_sent_event": True},
        queues={
            f"video-{request.param}": {**topic, "key": "media.video.#"},
            f"all-{request.param}": {**topic, "key": "#"},
        },
    )
    yield site
    site.close()


@pytest.fixture(scope="module")
def worker(site: Site) -> Program:
    return site.worker("--concurrency", "2", "--task-events")


@pytest.fixture(scope="module")
def app(site: Site, worker: Program) -> Iterator[Celery]:
    app = site.make_app()
    yield app
    app.close()


def result(sent: Any) -> Any:
    return sent.get(timeout=PATIENCE, interval=0.02)


def ask(worker: Program) -> dict[str, Any]:
    """Arguments of a remote control command that this worker answers."""
    return {"reply": True, "timeout": PATIENCE, "limit": 1, "destination": [worker.name]}


class TestTasks:
    def test_many(self, app: Celery) -> None:
        add = app.tasks["add"]
        sent = [add.delay(number, 1) for number in range(100)]
        assert [result(each) for each in sent] == list(range(1, 101))

    def test_eta_is_kept(self, app: Celery, tmp_path: Path) -> None:
        log = tmp_path / "ran"
        begin = time.time()
        result(app.tasks["note"].apply_async((str(log), "late"), countdown=1.5))
        ran = float(log.read_text().split()[1]) - begin
        assert 1.4 <= ran < 5

    def test_retries(self, app: Celery) -> None:
        assert result(app.tasks["flaky"].delay(3)) == 3

    def test_chain_group_chord(self, app: Celery) -> None:
        add, total = app.tasks["add"], app.tasks["total"]
        assert result(chain(add.s(1, 2), add.s(10))()) == 13
        assert result(group(add.s(number, number) for number in range(10))()) == [*range(0, 20, 2)]
        assert result(chord([add.s(number, 1) for number in range(10)])(total.s())) == 55

    def test_not_eager(self, app: Celery, worker: Program, tmp_path: Path) -> None:
        ran_in = result(app.tasks["nap"].delay(str(tmp_path / "ran"), "x", 0))
        assert ran_in not in (worker.process.pid, None)

    def test_topic_routing(self, app: Celery, site: Site, tmp_path: Path) -> None:
        log = tmp_path / "ran"
        exchange = next(queue.exchange for queue in app.conf.task_queues if queue.name[:3] == "all")
        for key in ("media.video.cut", "media.sound"):
            app.tasks["note"].apply_async((str(log), key), exchange=exchange, routing_key=key)
        ran = eventually(lambda: len(lines(log)) >= 3 and lines(log), "two keys, three queues")
        assert sorted(ran) == ["media.sound", "media.video.cut", "media.video.cut"]


class TestControl:
    def test_inspect(self, app: Celery, worker: Program, tmp_path: Path) -> None:
        inspect = app.control.inspect([worker.name], timeout=PATIENCE, limit=1)
        begin = time.monotonic()
        assert inspect.ping() == {worker.name: {"ok": "pong"}}
        assert time.monotonic() - begin < 2
        assert set(inspect.registered()[worker.name]) >= {"add", "nap", "note"}
        stats = inspect.stats()[worker.name]
        assert stats["pool"]["max-concurrency"] == 2
        assert stats["broker"]["transport"] in ("redis", "amqp", "pyamqp")
        app.tasks["nap"].delay(str(tmp_path / "ran"), "active", 1)
        eventually(lambda: lines(tmp_path / "ran"), "the nap has begun")
        assert [task["name"] for task in inspect.active()[worker.name]] == ["nap"]

    def test_a_revoked_task_does_not_run(
        self, app: Celery, worker: Program, tmp_path: Path
    ) -> None:
        log = tmp_path / "ran"
        note = app.tasks["note"]
        doomed = note.apply_async((str(log), "doomed"), countdown=1)
        app.control.revoke(doomed.id, **ask(worker))
        result(note.apply_async((str(log), "spared"), countdown=1.5))
        assert lines(log) == ["spared"]

    def test_a_running_task_is_terminated(
        self, app: Celery, worker: Program, tmp_path: Path
    ) -> None:
        log = tmp_path / "ran"
        doomed = app.tasks["nap"].delay(str(log), "doomed", 60)
        eventually(lambda: lines(log), "the nap has begun")
        app.control.revoke(doomed.id, terminate=True, **ask(worker))
        with pytest.raises(TaskRevokedError):
            result(doomed)
        assert result(app.tasks["add"].delay(1, 1)) == 2

    def test_rate_limit(self, app: Celery, worker: Program, tmp_path: Path) -> None:
        log = tmp_path / "ran"
        assert "ok" in app.control.rate_limit("note", "2/s", **ask(worker))[0][worker.name]
        for number in range(6):
            app.tasks["note"].delay(str(log), str(number))
        eventually(lambda: len(lines(log)) == 6, "all six")
        times = [float(line.split()[1]) for line in log.read_text().splitlines()]
        assert "ok" in app.control.rate_limit("note", "0", **ask(worker))[0][worker.name]
        assert max(times) - min(times) > 1.2  # two at once, then one each half second

    def test_consumers_come_and_go(
        self, app: Celery, worker: Program, site: Site, tmp_path: Path
    ) -> None:
        queue = f"{site.queue}-more"
        app.control.add_consumer(queue, **ask(worker))
        assert result(app.tasks["add"].apply_async((2, 2), queue=queue)) == 4
        app.control.cancel_consumer(queue, **ask(worker))
        app.tasks["add"].apply_async((3, 3), queue=queue)
        assert result(app.tasks["add"].delay(1, 1)) == 2
        assert site.length(app, queue) == 1

    def test_the_pool_restarts(self, app: Celery, worker: Program, tmp_path: Path) -> None:
        nap, log = app.tasks["nap"], str(tmp_path / "ran")
        before = result(nap.delay(log, "before", 0))
        replies = app.control.pool_restart(**ask(worker))
        assert "ok" in replies[0][worker.name]
        assert before not in {result(nap.delay(log, str(number), 0)) for number in range(5)}


class TestEvents:
    def test_a_receiver_sees_a_task_from_sent_to_succeeded(
        self, app: Celery, worker: Program
    ) -> None:
        seen: list[str] = []
        wanted = {"task-sent", "task-received", "task-started", "task-succeeded"}
        ready = threading.Event()

        def capture() -> None:
            with app.connection_for_read() as outer:
                receiver = app.events.Receiver(outer, handlers={"*": note})
                with receiver.consumer_context() as (connection, _, _):
                    ready.set()
                    while not wanted <= set(seen):
                        connection.drain_events(timeout=PATIENCE)

        def note(event: dict[str, Any]) -> None:
            seen.append(event["type"])

        thread = threading.Thread(target=capture, daemon=True)
        thread.start()
        assert ready.wait(PATIENCE)
        app.tasks["add"].delay(1, 1)
        thread.join(PATIENCE)
        assert wanted <= set(seen)


class TestIdle:
    def test_an_idle_worker_sleeps(self, worker: Program, app: Celery) -> None:
        assert result(app.tasks["add"].delay(1, 1)) == 2
        before = worker.cpu_seconds()
        time.sleep(5)  # the interval that is measured
        assert (worker.cpu_seconds() - before) / 5 < 0.02
