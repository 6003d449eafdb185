"""Waiting for a condition in the place of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], what: str, seconds: float = 30) -> T:
    """Wait until ``condition`` holds, and return what it returned.

    Arguments:
        what: named when it doesn't hold in time.
        seconds: how long to wait.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return value
