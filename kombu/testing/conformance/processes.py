"""Jobs that tests run in processes of their own, to kill them or to measure them.

Run as a script with one line of JSON on standard input; notes go to standard output, one
JSON value a line.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

from kombu import Connection, Queue


def note(value: Any) -> None:
    """Tell the test."""
    print(json.dumps(value), flush=True)


def consume(connection: Any, task: dict[str, Any]) -> None:
    """Receive, note each body, and acknowledge none (or all, with ``ack``)."""
    channel = connection.channel()

    def received(message: Any) -> None:
        note(message.payload)
        if task.get("ack"):
            message.ack()

    consumer = channel.Consumer(
        [_queue(task["queue"])(channel)], on_message=received, auto_declare=False
    )
    consumer.qos(prefetch_count=task["prefetch"])
    consumer.consume()
    if task.get("ready"):
        note("ready")
    while True:
        connection.drain_events()


def idle(connection: Any, task: dict[str, Any]) -> None:
    """Wait for messages for ``seconds`` and note the seconds of processor time it cost."""
    channel = connection.channel()
    consumer = channel.Consumer(
        [_queue(task["queue"])(channel)], on_message=note, auto_declare=False
    )
    consumer.consume()
    before = _cpu()
    deadline = time.monotonic() + task["seconds"]
    while (left := deadline - time.monotonic()) > 0:
        try:
            connection.drain_events(timeout=left)
        except TimeoutError:
            break
    note(_cpu() - before)


def publish(connection: Any, task: dict[str, Any]) -> None:
    """Publish ``bodies`` to the queue."""
    producer = connection.Producer()
    for body in task["bodies"]:
        producer.publish(body, exchange="", routing_key=task["queue"])
    note(len(task["bodies"]))


def _queue(name: str) -> Any:
    return Queue(name, durable=False, no_declare=True)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


JOBS = {"consume": consume, "idle": idle, "publish": publish}


def main() -> None:
    """Read the task and do it."""
    task = json.loads(sys.stdin.readline())
    with Connection(
        task["url"], transport_options=task["transport_options"], **task["connection_options"]
    ) as connection:
        JOBS[task["job"]](connection, task)


if __name__ == "__main__":
    main()
