"""Scenarios against a running broker: ``broker.py SCENARIO URL [OPTIONS-AS-JSON [COUNT]]``.

Run by either side's interpreter, so only what both sides have is used; prints one JSON line.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from embedded import BODY, HEADERS, cpu_seconds
from figures import Figures, Spent, percentiles

from kombu import Connection, Queue

#: Seconds after which a scenario makes do with the messages it has, so that slow sides end.
LIMIT = 8.0


def memory_mb() -> float:
    """The most memory that this process has had (``ru_maxrss`` begins with its parent's)."""
    with open("/proc/self/status") as lines:
        found = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(found[0]) / 1024


def connections() -> int:
    """Established TCP connections of this process."""
    inodes = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
    count = 0
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/self/net/{table}") as lines:
            fields = [line.split() for line in lines][1:]
            count += sum(each[3] == "01" and each[9] in inodes for each in fields)
    return count


class Bench:
    """One broker, one queue of our own, removed at the end."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self.url, self.options = url, options
        self.queue = Queue(f"bench-{uuid4().hex[:8]}")

    def connect(self, **options: Any) -> Connection:
        return Connection(self.url, transport_options={**self.options, **options})

    def fill(self, connection: Connection, count: int) -> int:
        """Publish ``count`` messages one by one; how many it were when the time was over."""
        producer = connection.Producer(serializer="json")
        self.queue(connection.default_channel).declare()
        end = time.perf_counter() + LIMIT
        for number in range(count):
            producer.publish(BODY, headers=HEADERS, routing_key=self.queue.name)
            if time.perf_counter() > end:
                return number + 1
        return count

    def publish(self, count: int = 3_000) -> Figures:
        with self.connect() as connection:
            self.queue(connection.default_channel).declare()
            spent = Spent()
            done = self.fill(connection, count)
            figures = spent.figures("publish/s", "publish cpu us/message", done)
            self.queue(connection.default_channel).delete()
        return figures

    def confirmed(self, count: int = 2_000) -> Figures:
        took = []
        with self.connect(confirm_publish=True) as connection:
            producer = connection.Producer(serializer="json")
            self.queue(connection.default_channel).declare()
            spent = Spent()
            for _ in range(count):
                begin = time.perf_counter()
                producer.publish(BODY, headers=HEADERS, routing_key=self.queue.name)
                took.append((time.perf_counter() - begin) * 1e3)
            figures = spent.figures("confirmed publish/s", "confirmed cpu us/message", count)
            self.queue(connection.default_channel).delete()
        return {**figures, **percentiles(took, "confirmed")}

    def batch(self, count: int = 20_000, single: int = 1_000) -> Figures:
        with self.connect() as connection:
            begin = time.perf_counter()
            done = self.fill(connection, single)
            alone = (time.perf_counter() - begin) / done
            producer = connection.Producer(serializer="json")
            spent = Spent()
            with producer.batch():
                for _ in range(count):
                    producer.publish(BODY, headers=HEADERS, routing_key=self.queue.name)
            figures = spent.figures("batch publish/s", "batch cpu us/message", count)
            self.queue(connection.default_channel).delete()
        return {**figures, "batch / single": figures["batch publish/s"] * alone}

    def consume(self, count: int = 5_000, prefetch: int = 100) -> Figures:
        with self.connect() as connection:
            filled = self.fill(connection, count)
            spent = Spent()
            seen = self.drain(connection, filled, prefetch)
            figures = spent.figures("consume+ack/s", "cpu us/message", seen)
            self.queue(connection.default_channel).delete()
        return {**figures, "memory MB": memory_mb()}

    def latency(self, count: int = 200) -> Figures:
        ready, arrived, done = threading.Event(), threading.Event(), threading.Event()
        stamps: list[float] = []

        def consume() -> None:
            with self.connect() as connection:

                def receive(body: Any, message: Any) -> None:
                    stamps.append((time.perf_counter() - float(body)) * 1e3)
                    message.ack()
                    arrived.set()

                with connection.Consumer([self.queue], callbacks=[receive], accept=["json"]):
                    ready.set()
                    while not done.is_set():
                        with contextlib.suppress(TimeoutError):
                            connection.drain_events(timeout=1)

        thread = threading.Thread(target=consume, daemon=True)
        thread.start()
        ready.wait(10)
        with self.connect() as connection:
            producer = connection.Producer(serializer="json")
            end = time.perf_counter() + LIMIT
            for _ in range(count):
                time.sleep(0.005)
                arrived.clear()
                producer.publish(time.perf_counter(), routing_key=self.queue.name)
                arrived.wait(10)
                if time.perf_counter() > end:
                    break
            done.set()
            thread.join(10)
            self.queue(connection.default_channel).delete()
        return percentiles(stamps)

    def idle(self, seconds: float = 5.0) -> Figures:
        with self.connect() as connection:
            with connection.Consumer([self.queue], callbacks=[print]):
                before, begin = cpu_seconds(), time.perf_counter()
                with contextlib.suppress(TimeoutError):
                    connection.drain_events(timeout=seconds)
                spent, took = cpu_seconds() - before, time.perf_counter() - begin
                used = connections()
            self.queue(connection.default_channel).delete()
        return {"cpu %": spent / took * 100, "connections": used}

    def drain(self, connection: Connection, count: int, prefetch: int = 100) -> int:
        """Consume and acknowledge so many; how many it were when the time was over."""
        seen, end = 0, time.perf_counter() + LIMIT

        def receive(message: Any) -> None:
            nonlocal seen
            seen += 1
            message.ack()

        with connection.Consumer(
            [self.queue], on_message=receive, accept=["json"], prefetch_count=prefetch
        ):
            while seen < count and time.perf_counter() < end:
                connection.drain_events(timeout=20)
        return seen

    # ---- on SQS, where somebody else counts the calls: a negative figure asks for their
    # number times that

    def calls(self, count: int = 1_000) -> Figures:
        """Publish, in a batch where there are batches, and consume."""
        with self.connect() as connection:
            self.queue(connection.default_channel).declare()
            producer = connection.Producer(serializer="json")
            with getattr(producer, "batch", contextlib.nullcontext)():
                for _ in range(count):
                    producer.publish(BODY, headers=HEADERS, routing_key=self.queue.name)
            self.drain(connection, count)
            self.queue(connection.default_channel).delete()
        return {"calls/1,000 messages": -1_000 / count}

    def calls_one_by_one(self, count: int = 1_000) -> Figures:
        """The same, each publish by itself."""
        with self.connect() as connection:
            self.fill(connection, count)
            self.drain(connection, count)
            self.queue(connection.default_channel).delete()
        return {"calls/1,000 messages": -1_000 / count}

    def idle_calls(self, seconds: float = 60.0) -> Figures:
        """A consumer that looks once a second whether it shall stop, as ConsumerMixin's does."""
        with self.connect() as connection, connection.Consumer([self.queue], callbacks=[print]):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                with contextlib.suppress(TimeoutError):
                    connection.drain_events(timeout=1)
        return {"calls/idle hour": -3_600 / seconds}


def main(scenario: str, url: str, options: str = "{}", count: str = "") -> Figures:
    bench = Bench(url, json.loads(options))
    run: Callable[..., Figures] = getattr(bench, scenario)
    return run(int(count)) if count else run()


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
