"""A publisher with confirms and a consumer with acks, working while a broker is ill-treated."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from kombu import Connection, Queue
from kombu.mixins import ConsumerMixin

#: For as long as a broker takes to come back.
POLICY = {"max_retries": 200, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.5}


class Reader(ConsumerMixin):
    """Counts what it received, by body."""

    def __init__(self, connection: Connection, queue: Queue) -> None:
        self.connection = connection
        self.queue = queue
        self.seen: Counter[int] = Counter()

    def get_consumers(self, Consumer: Callable[..., Any], channel: Any) -> list[Any]:
        return [Consumer([self.queue], callbacks=[self.handle], prefetch_count=50)]

    def handle(self, body: int, message: Any) -> None:
        self.seen[body] += 1
        message.ack()


class Load:
    """Publishes 0, 1, 2, ... and consumes them, each in a thread, inside the ``with`` block.

    Arguments:
        connect: makes a connection; takes keyword arguments of Connection.
        queue: what is published to and consumed; declared here.
    """

    def __init__(self, connect: Callable[..., Connection], queue: Queue) -> None:
        self.queue = queue
        self.confirmed: list[int] = []
        self._publisher = connect(transport_options={"confirm_publish": True})
        queue(self._publisher.default_channel).declare()
        self.reader = Reader(connect(), queue)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._publish, name="publisher"),
            threading.Thread(target=self.reader.run, name="reader"),
        ]

    def _publish(self) -> None:
        producer = self._publisher.Producer()
        number = 0
        while not self._stop.is_set():
            producer.publish(number, routing_key=self.queue.name, retry=True, retry_policy=POLICY)
            self.confirmed.append(number)
            number += 1

    def go_on(self, count: int = 300, timeout: float = 30) -> None:
        """Wait until so many more are confirmed, and that many more have been received."""
        goals = len(self.confirmed) + count, len(self.reader.seen) + count
        deadline = time.monotonic() + timeout
        while (now := (len(self.confirmed), len(self.reader.seen))) < goals or now[1] < goals[1]:
            assert time.monotonic() < deadline, f"confirmed and received {now}, not {goals}"
            time.sleep(0.01)

    @property
    def lost(self) -> set[int]:
        """Confirmed and not received."""
        return set(self.confirmed) - self.reader.seen.keys()

    @property
    def again(self) -> int:
        """How often something was received that had been received before."""
        return sum(count - 1 for count in self.reader.seen.values())

    def __str__(self) -> str:
        return f"{len(self.confirmed)} confirmed, lost {len(self.lost)}, twice {self.again}"

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop publishing, let the rest arrive, and end both threads."""
        publishing, reading = self._threads
        self._stop.set()
        publishing.join(60)
        deadline = time.monotonic() + 30
        while self.lost and time.monotonic() < deadline:
            time.sleep(0.05)
        self.reader.should_stop = True
        reading.join(30)
        assert not any(thread.is_alive() for thread in self._threads)
