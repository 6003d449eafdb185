"""What unit tests share: each begins with an empty in-memory broker."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def nothing_left_in_memory() -> Iterator[None]:
    """Empty the broker of URLs without a virtual host, which many tests use by the same names."""
    yield
    memory = sys.modules.get("kombu.transport.memory")
    if memory is not None:
        memory.reset("/")
