"""A worker that survives errors, and a client that sends it tasks.

Any broker will do: ``python examples/worker.py amqp://guest:guest@localhost//``
"""

from __future__ import annotations

import sys
from typing import Any

from kombu import Connection, Exchange, Queue
from kombu.mixins import ConsumerMixin

tasks = Exchange("tasks", type="topic")
urgent = Queue("urgent", tasks, routing_key="task.urgent")
ordinary = Queue("ordinary", tasks, routing_key="task.#")


class Worker(ConsumerMixin):
    """Handles tasks until it has seen as many as it was asked for."""

    def __init__(self, connection: Any, count: int) -> None:
        self.connection = connection
        self.count = count

    def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:
        return [Consumer([urgent, ordinary], on_message=self.handle, accept=["json"])]

    def handle(self, message: Any) -> None:
        print(f"task: {message.payload['name']}")
        message.ack()
        self.count -= 1
        if not self.count:
            self.should_stop = True


def main(url: str) -> None:
    with Connection(url) as connection:
        producer = connection.Producer(exchange=tasks)
        both = [urgent, ordinary]
        producer.publish({"name": "sweep"}, routing_key="task.daily", declare=both)
        producer.publish({"name": "fire"}, routing_key="task.urgent", declare=both)  # to both
        Worker(connection, 3).run()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "memory://")
