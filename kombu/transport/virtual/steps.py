"""Priorities for backends that have none: one queue of the backend for each step."""

from __future__ import annotations

from collections.abc import Callable

from kombu.transport.virtual.store import QueueSpec

#: Lowest priority of each step; the first is the queue itself, as published peers know it.
STEPS = (0, 3, 6, 9)


def step_name(queue: str, step: int) -> str:
    """The backend's queue for a step: ``queue``, ``queue-p3``, ``queue-p6``, ``queue-p9``."""
    return f"{queue}-p{step}" if step else queue


class PrioritySteps:
    """Which queues of the backend ("sources") stand for a queue.

    Only a queue declared with ``x-max-priority`` has more than one: each further one costs
    calls.

    Arguments:
        name: the source of a queue and a step.
    """

    def __init__(self, name: Callable[[str, int], str] = step_name) -> None:
        self._name = name
        self._with_priority: set[str] = set()
        self._queues: dict[str, str] = {}

    def declare(self, queue: QueueSpec) -> None:
        """Note whether a queue has priorities."""
        if queue.arguments.get("x-max-priority"):
            self._with_priority.add(queue.name)
            for step in STEPS[1:]:
                self._queues[self._name(queue.name, step)] = queue.name

    def forget(self, queue: str) -> None:
        """The queue was deleted."""
        if queue in self._with_priority:
            self._with_priority.discard(queue)
            for step in STEPS[1:]:
                self._queues.pop(self._name(queue, step), None)

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
        """The queue that a source stands for."""
        return self._queues.get(source, source)
