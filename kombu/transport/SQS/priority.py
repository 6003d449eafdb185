"""The SQS queue of each priority step."""

from __future__ import annotations

from kombu.transport.SQS.names import FIFO_SUFFIX
from kombu.transport.virtual.steps import step_name


def sqs_step_name(queue: str, step: int) -> str:
    """As :func:`~kombu.transport.virtual.steps.step_name`; ``.fifo`` stays at the end."""
    if queue.endswith(FIFO_SUFFIX):
        return step_name(queue.removesuffix(FIFO_SUFFIX), step) + FIFO_SUFFIX
    return step_name(queue, step)
