"""No message is lost when its consumer is killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from t.integration.filesystem.kills import Trial

#: 30,000 and 60 make the full trial; a short one fits into every run.
MESSAGES = int(os.environ.get("KOMBU_KILL_MESSAGES", "2000"))
KILLS = int(os.environ.get("KOMBU_KILLS", "6"))


@pytest.mark.timeout(900)
def test_consumers_killed_lose_nothing(tmp_path: Path) -> None:
    outcome = Trial(tmp_path, MESSAGES, KILLS).run()
    assert outcome.kills == KILLS
    assert outcome.lost == 0
    assert outcome.seen == MESSAGES
