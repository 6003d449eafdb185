"""Scenarios against a running broker: ``broker.py SCENARIO URL [OPTIONS-AS-JSON]``.

Run by either side's interpreter, so only what both sides have is used; prints one JSON line.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from embedded import BODY, HEADERS, cpu_seconds

from kombu import Connection, Queue

Figures = dict[str, float]


class Bench:
    """One broker, one queue of our own, removed at the end."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self.url, self.options = url, options
        self.queue = Queue(f"bench-{uuid4().hex[:8]}")

    def connect(self, **options: Any) -> Connection:
        return Connection(self.url, transport_options={**self.options, **options})

    def fill(self, connection: Connection, count: int) -> float:
        """Publish ``count`` messages one by one; seconds it took."""
        producer = connection.Producer(serializer="json")
        self.queue(connection.default_channel).declare()
        begin = time.perf_counter()
        for _ in range(count):
            producer.publish(BODY, headers=HEADERS, routing_key=self.queue.name)
        return time.perf_counter() - begin

    def publish(self, count: int = 3_000) -> Figures:
        with self.connect() as connection:
            took = self.fill(connection, count)
            self.queue(connection.default_channel).delete()
        return {"publish/s": count / took}

    def confirmed(self, count: int = 2_000) -> Figures:
        with self.connect(confirm_publish=True) as connection:
            took = self.fill(connection, count)
            self.queue(connection.default_channel).delete()
        return {"confirmed publish/s": count / took}

    def batch(self, count: int = 20_000, single: int = 1_000) -> Figures:
        with self.connect() as connection:
            alone = self.fill(connection, single) / single
            producer = connection.Producer(serializer="json")
            begin = time.perf_counter()
            with producer.batch():
                for _ in range(count):
                    producer.publish(BODY, headers=HEADERS, routing_key=self.queue.name)
            took = time.perf_counter() - begin
            self.queue(connection.default_channel).delete()
        return {"batch publish/s": count / took, "batch / single": count / took * alone}

    def consume(self, count: int = 5_000, prefetch: int = 100) -> Figures:
        with self.connect() as connection:
            self.fill(connection, count)
            seen = 0

            def receive(message: Any) -> None:
                nonlocal seen
                seen += 1
                message.ack()

            before, begin = cpu_seconds(), time.perf_counter()
            with connection.Consumer(
                [self.queue], on_message=receive, accept=["json"], prefetch_count=prefetch
            ):
                while seen < count:
                    connection.drain_events(timeout=20)
            took, spent = time.perf_counter() - begin, cpu_seconds() - before
            self.queue(connection.default_channel).delete()
        return {"consume+ack/s": count / took, "cpu us/message": spent / count * 1e6}

    def latency(self, count: int = 200) -> Figures:
        ready, arrived, stamps = threading.Event(), threading.Event(), []

        def consume() -> None:
            with self.connect() as connection:

                def receive(body: Any, message: Any) -> None:
                    stamps.append((time.perf_counter() - float(body)) * 1e3)
                    message.ack()
                    arrived.set()

                with connection.Consumer([self.queue], callbacks=[receive], accept=["json"]):
                    ready.set()
                    while len(stamps) < count:
                        connection.drain_events(timeout=20)

        thread = threading.Thread(target=consume, daemon=True)
        thread.start()
        ready.wait(10)
        with self.connect() as connection:
            producer = connection.Producer(serializer="json")
            for _ in range(count):
                time.sleep(0.005)
                arrived.clear()
                producer.publish(time.perf_counter(), routing_key=self.queue.name)
                arrived.wait(10)
            thread.join(10)
            self.queue(connection.default_channel).delete()
        stamps.sort()
        return {"p50 ms": statistics.median(stamps), "p99 ms": stamps[int(len(stamps) * 0.99)]}

    def idle(self, seconds: float = 10.0) -> Figures:
        with self.connect() as connection, connection.Consumer([self.queue], callbacks=[print]):
            before, begin = cpu_seconds(), time.perf_counter()
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=seconds)
            spent, took = cpu_seconds() - before, time.perf_counter() - begin
            self.queue(connection.default_channel).delete()
        return {"cpu %": spent / took * 100}


def main(scenario: str, url: str, options: str = "{}") -> Figures:
    bench = Bench(url, json.loads(options))
    run: Callable[[], Figures] = getattr(bench, scenario)
    return run()


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
