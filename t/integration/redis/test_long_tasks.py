"""Tasks longer than their lease, in short (``python -m t.longtasks`` for the long form)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kombu import Connection, Queue
from t.integration.redis.servers import RedisServer
from t.longtasks import Trial


@pytest.mark.timeout(90)
@pytest.mark.parametrize("celery", [False, True], ids=["handler", "celery"])
def test_a_long_task_runs_once_and_a_killed_one_again(server: RedisServer, celery: bool) -> None:
    outcome = Trial(server.url, lease=1.5, celery=celery).run(seconds=4)
    assert (outcome.runs, outcome.ended) == (1, 1)
    assert outcome.back_after is not None
    # the lease, the sweep that follows it, and a process's turn on a loaded machine
    assert outcome.back_after < 1.5 + 3


@pytest.mark.parametrize("scheme", ["redis", "redis+streams"])
def test_what_waits_outlives_x_expires_while_its_consumer_is_busy(
    server: RedisServer, scheme: str
) -> None:
    url = f"{scheme}{server.url.removeprefix('redis')}"
    queue, other = Queue("brief", expires=0.2), Queue("other", expires=0.2)
    options = {"lease": 1.2}
    with (
        Connection(url, transport_options=options) as publishing,
        Connection(url, transport_options=options) as consuming,
    ):
        producer = publishing.Producer()
        got: list[Any] = []
        with consuming.Consumer([queue, other], on_message=got.append, prefetch_count=1):
            producer.publish("handled", routing_key="brief")
            consuming.drain_events(timeout=5)
            producer.publish("waits", routing_key="brief")
            producer.publish("waits", routing_key="other", declare=[other])
            time.sleep(1.6)  # longer than both times
            for _ in range(2):
                got[-1].ack()
                consuming.drain_events(timeout=5)
            got[-1].ack()
