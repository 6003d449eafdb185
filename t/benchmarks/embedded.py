"""Scenarios that need no server. Run by either side's interpreter; prints one JSON line."""

from __future__ import annotations

import contextlib
import json
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

BODY = {"id": 1, "task": "app.add", "args": [1, 2], "kwargs": {"note": "x" * 60}, "eta": None}
HEADERS = {"lang": "py", "task": "app.add", "retries": 0, "timelimit": [None, None]}


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def memory_put_get(count: int = 20_000) -> dict[str, float]:
    """Messages per second through Producer.publish, then through Queue.get, payload and ack."""
    from kombu import Connection, Exchange, Queue

    with Connection("memory://") as connection:
        channel = connection.channel()
        exchange = Exchange("bench", type="direct")
        queue = Queue("bench", exchange, routing_key="bench")(channel)
        queue.declare()
        producer = connection.Producer(channel=channel, exchange=exchange, routing_key="bench")
        begin = time.perf_counter()
        for _ in range(count):
            producer.publish(BODY, headers=HEADERS, serializer="json")
        published = time.perf_counter()
        for _ in range(count):
            message = queue.get(accept=["json"])
            assert message.payload["id"] == 1
            message.ack()
        done = time.perf_counter()
    return {"put/s": count / (published - begin), "get+ack/s": count / (done - published)}


def memory_consume(count: int = 20_000) -> dict[str, float]:
    """Messages per second through a Consumer that acks, prefetch 100."""
    from kombu import Connection, Queue

    with Connection("memory://") as connection:
        channel = connection.channel()
        queue = Queue("bench.consume")
        producer = connection.Producer(channel=channel)
        queue(channel).declare()
        for _ in range(count):
            producer.publish(BODY, routing_key="bench.consume")
        seen = 0

        def receive(body: Any, message: Any) -> None:
            nonlocal seen
            seen += 1
            message.ack()

        before = cpu_seconds()
        begin = time.perf_counter()
        with connection.Consumer(
            [queue], channel=channel, callbacks=[receive], accept=["json"]
        ) as consumer:
            consumer.qos(prefetch_count=100)
            while seen < count:
                connection.drain_events(timeout=5)
        took = time.perf_counter() - begin
    return {"consume+ack/s": count / took, "cpu us/message": (cpu_seconds() - before) / count * 1e6}


def memory_latency(count: int = 30) -> dict[str, float]:
    """Publish to callback on an idle consumer, milliseconds."""
    from kombu import Connection, Queue

    name = "bench.latency"
    ready = threading.Event()
    arrived = threading.Event()
    stamps: list[float] = []

    def consume() -> None:
        with Connection("memory://") as connection:

            def receive(body: Any, message: Any) -> None:
                stamps.append((time.perf_counter() - float(body)) * 1e3)
                message.ack()
                arrived.set()

            with connection.Consumer([Queue(name)], callbacks=[receive], accept=["json"]):
                ready.set()
                while len(stamps) < count:
                    try:
                        connection.drain_events(timeout=5)
                    except TimeoutError:
                        return

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    ready.wait(5)
    with Connection("memory://") as connection:
        producer = connection.Producer()
        for _ in range(count):
            time.sleep(0.01)
            arrived.clear()
            producer.publish(time.perf_counter(), routing_key=name)
            arrived.wait(5)
    thread.join(5)
    stamps.sort()
    return {"p50 ms": statistics.median(stamps), "p99 ms": stamps[int(len(stamps) * 0.99)]}


def topic(bindings: int, count: int) -> float:
    """Publishes per second through a topic exchange with that many bindings."""
    from kombu import Connection, Exchange

    with Connection("memory://") as connection:
        channel = connection.channel()
        name = f"bench.topic.{uuid4()}"
        Exchange(name, type="topic")(channel).declare()
        queue = f"{name}.queue"
        channel.queue_declare(queue)
        for number in range(bindings):
            channel.queue_bind(queue, name, f"region.{number}.*.done")
        message = channel.prepare_message("x")
        keys = [f"region.{number % bindings}.n{number}.done" for number in range(count)]
        begin = time.perf_counter()
        for key in keys:
            channel.basic_publish(dict(message, properties=dict(message["properties"])), name, key)
        took = time.perf_counter() - begin
        channel.queue_purge(queue)
    return count / took


def topic_bindings() -> dict[str, float]:
    return {"publish/s with 2,000 bindings": topic(2_000, 2_000)}


def topic_growth() -> dict[str, float]:
    few, many = topic(200, 5_000), topic(20_000, 5_000)
    return {"cost at 20,000 / cost at 200 bindings": few / many}


def json_codec(count: int = 20_000) -> dict[str, float]:
    """dumps + loads of a Celery task message, per second."""
    from kombu.utils.json import dumps, loads

    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    message = [[1, "two", {"three": [3.5, None, True]}], {"user": "é" * 8, **BODY}, embed]
    for _ in range(1000):
        loads(dumps(message))
    begin = time.perf_counter()
    for _ in range(count):
        loads(dumps(message))
    return {"dumps+loads/s": count / (time.perf_counter() - begin)}


def import_and_connect() -> dict[str, float]:
    """Milliseconds from the first import to a connected in-memory connection."""
    begin = time.perf_counter()
    from kombu import Connection

    Connection("memory://").connect()
    return {"ms": (time.perf_counter() - begin) * 1e3}


def idle_consumer(seconds: float = 5.0) -> dict[str, float]:
    """Share of one processor that an idle in-memory consumer takes, in percent."""
    from kombu import Connection, Queue

    with (
        Connection("memory://") as connection,
        connection.Consumer([Queue("bench.idle")], callbacks=[print]),
    ):
        before, begin = cpu_seconds(), time.perf_counter()
        with contextlib.suppress(TimeoutError):
            connection.drain_events(timeout=seconds)
        spent = cpu_seconds() - before
        return {"cpu %": spent / (time.perf_counter() - begin) * 100}


SCENARIOS: dict[str, Callable[[], dict[str, float]]] = {
    "memory put/get": memory_put_get,
    "memory consume": memory_consume,
    "memory latency": memory_latency,
    "topic bindings": topic_bindings,
    "topic growth": topic_growth,
    "json": json_codec,
    "import": import_and_connect,
    "idle": idle_consumer,
}

if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[1]]()))
