"""Our side's half of most tests."""

from __future__ import annotations

import time
from typing import Any

from kombu import Queue


def received(connection: Any, queue: Queue, count: int, timeout: float = 10) -> list[Any]:
    """So many messages of a queue, acknowledged (fewer when they don't come in time)."""
    messages: list[Any] = []
    deadline = time.monotonic() + timeout
    with connection.Consumer(queue, on_message=messages.append, accept=["json"]):
        while len(messages) < count and time.monotonic() < deadline:
            try:
                connection.drain_events(timeout=0.5)
            except TimeoutError:
                continue
    for message in messages:
        message.ack()
    return messages
