"""Tasks longer than their lease, in short (``python -m t.longtasks`` for the long form)."""

from __future__ import annotations

import pytest

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
