"""A server that restarts again and again under load: what was sent, received, lost, came twice.

``python -m t.integration.redis.restarts --restarts 50``

The server writes its append-only file before it answers. Producers publish with a retry
policy; what they were told is published counts as sent. Consumers are ConsumerMixin threads
that run from the first to the last message and are never started anew.
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from kombu import Connection, Consumer, Producer, Queue
from kombu.exceptions import OperationalError
from kombu.mixins import ConsumerMixin
from t.integration.redis.servers import RedisServer

QUEUE = Queue("restarts")
OPTIONS = {"lease": 5, "socket_timeout": 5, "interval_start": 0.1, "interval_step": 0.1}
POLICY = {"max_retries": 100, "interval_start": 0.05, "interval_step": 0.05, "interval_max": 0.3}


class Outcome(NamedTuple):
    """What was counted."""

    restarts: int
    sent: int
    received: int
    lost: int
    twice: int
    consumers_dead: int
    slowest: float


class Worker(ConsumerMixin):
    """Notes what it got."""

    def __init__(self, url: str, got: Counter[int]) -> None:
        self.connection = Connection(url, transport_options=OPTIONS)
        self.got = got
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def get_consumers(self, consumer: Any, channel: Any) -> list[Consumer]:
        return [consumer([QUEUE], on_message=self.on_message, prefetch_count=20)]

    def on_message(self, message: Any) -> None:
        self.got[message.payload] += 1
        message.ack()

    def close(self) -> None:
        self.should_stop = True
        self.thread.join(20)
        self.connection.release()


class Feeder:
    """Publishes numbers without pause until it is stopped.

    Arguments:
        first, step: which numbers are its own.
        rest: seconds between two of them.
    """

    def __init__(self, url: str, first: int, step: int, rest: float = 0.001) -> None:
        self.sent: set[int] = set()
        self._rest = rest
        self._stop = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(url, first, step), daemon=True)
        self.thread.start()

    def _run(self, url: str, number: int, step: int) -> None:
        with Connection(url, transport_options={"socket_timeout": 5}) as connection:
            producer = Producer(connection, auto_declare=False)
            while not self._stop.wait(self._rest):
                try:
                    producer.publish(
                        number, routing_key="restarts", retry=True, retry_policy=POLICY
                    )
                    self.sent.add(number)
                except OperationalError:
                    pass  # it was said: not sent
                number += step

    def stop(self) -> set[int]:
        self._stop.set()
        self.thread.join(60)
        return self.sent


def run(directory: Path, restarts: int, consumers: int = 3, producers: int = 2) -> Outcome:
    """Restart a server of our own so often."""
    server = RedisServer(directory, "appendonly yes", "appendfsync always").start()
    got: Counter[int] = Counter()
    workers = [Worker(server.url, got) for _ in range(consumers)]
    feeders = [Feeder(server.url, number, producers) for number in range(producers)]
    dice = random.Random(5)
    slowest = 0.0
    try:
        for number in range(restarts):
            before = sum(got.values())
            _until(lambda before=before: sum(got.values()) > before + 20, 60)
            server.stop(signal.SIGKILL if number % 2 else signal.SIGTERM)
            time.sleep(dice.uniform(0, 0.5))
            server.start()
            begin, before = time.monotonic(), sum(got.values())
            _until(lambda before=before: sum(got.values()) > before, 60)
            slowest = max(slowest, time.monotonic() - begin)
        sent = set().union(*(feeder.stop() for feeder in feeders))
        _until(lambda: sent <= set(got), 60)
        dead = sum(not worker.thread.is_alive() for worker in workers)
        lost = len(sent - set(got))
        twice = sum(count - 1 for count in got.values())
        return Outcome(restarts, len(sent), len(got), lost, twice, dead, round(slowest, 2))
    finally:
        for worker in workers:
            worker.close()
        server.stop(signal.SIGKILL)


def _until(condition: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--restarts", type=int, default=50)
    given = parser.parse_args()
    print(run(Path(tempfile.mkdtemp()), given.restarts), flush=True)


if __name__ == "__main__":
    main()
