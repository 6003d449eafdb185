"""Priorities where a backend has none: one of its queues for each step of a queue that asks."""

from __future__ import annotations

from kombu.transport.virtual.store import QueueSpec

#: Lowest priority of each step; the first is the queue itself, as published peers know it.
STEPS = (0, 3, 6, 9)


class PrioritySteps:
    """Which queues of the backend ("sources") stand for a queue.

    Only a queue declared with ``x-max-priority`` has more than one: each further one costs
    receive calls.

    Arguments:
        suffix: what queue names may end in that must stay at their end.
    """

    def __init__(self, suffix: str = "") -> None:
        self._suffix = suffix
        self._with_priority: set[str] = set()
        self._queues: dict[str, str] = {}

    def declare(self, queue: QueueSpec) -> None:
        if queue.arguments.get("x-max-priority"):
            self._with_priority.add(queue.name)
            for step in STEPS[1:]:
                self._queues[self._name(queue.name, step)] = queue.name

    def forget(self, queue: str) -> None:
        if queue in self._with_priority:
            self._with_priority.discard(queue)
            for step in STEPS[1:]:
                self._queues.pop(self._name(queue, step), None)

    def _name(self, queue: str, step: int) -> str:
        if not step:
            return queue
        if self._suffix and queue.endswith(self._suffix):
            return f"{queue.removesuffix(self._suffix)}-p{step}{self._suffix}"
        return f"{queue}-p{step}"

    def sources(self, queue: str) -> list[str]:
        """All of them, highest priority first."""
        if queue not in self._with_priority:
            return [queue]
        return [self._name(queue, step) for step in reversed(STEPS)]

    def source(self, queue: str, priority: int) -> str:
        """The one for messages of that priority."""
        if queue not in self._with_priority:
            return queue
        return self._name(queue, max(step for step in STEPS if step <= priority))

    def queue(self, source: str) -> str:
        return self._queues.get(source, source)
