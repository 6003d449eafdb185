"""celery-batches with an embedded worker; run by either side's interpreter.

Its own tests are not in its source archive, so these stand in for them.
"""

from __future__ import annotations

import threading

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from celery.result import allow_join_result
from celery_batches import Batches


@pytest.fixture
def app():
    app = Celery(broker="memory://", backend="cache+memory://")
    app.conf.update(task_always_eager=False, worker_prefetch_multiplier=0)
    return app


def collector(app, every, interval):
    """A batched task, the sizes of its batches and what came in them."""
    sizes, numbers, done = [], [], threading.Event()

    @app.task(base=Batches, flush_every=every, flush_interval=interval, name="collect")
    def collect(requests):
        sizes.append(len(requests))
        numbers.extend(request.args[0] for request in requests)
        for request in requests:
            app.backend.mark_as_done(request.id, request.args[0] * 2, request=request)
        if len(numbers) >= 20:
            done.set()

    return collect, sizes, numbers, done


def start(app):
    return start_worker(app, pool="threads", concurrency=1, perform_ping_check=False)


def test_full_batches_are_flushed(app):
    collect, sizes, numbers, done = collector(app, 10, 60)
    with start(app):
        for number in range(20):
            collect.delay(number)
        assert done.wait(30)
    assert sizes == [10, 10]
    assert sorted(numbers) == list(range(20))


def test_a_sparse_batch_is_flushed_by_time(app):
    collect, sizes, numbers, _ = collector(app, 100, 0.5)
    with start(app), allow_join_result():
        results = [collect.delay(number) for number in range(5)]
        assert [result.get(timeout=30) for result in results] == [0, 2, 4, 6, 8]
    assert sum(sizes) == 5
    assert sorted(numbers) == list(range(5))
