"""``kombu bench``: how fast is this broker from here?"""

from __future__ import annotations

import argparse
import time
from contextlib import closing
from typing import Any

from kombu.cli.arguments import FAILED, OK, command, connected, count
from kombu.cli.console import Console
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.utils.uuid import uuid


def add(subparsers: Any) -> None:
    parser = command(subparsers, "bench", run, "measure publishing and consuming")
    parser.add_argument("-n", "--count", type=count, default=2000, metavar="N", help="(2000)")
    parser.add_argument("--size", type=count, default=250, metavar="BYTES", help="of a body (250)")
    parser.add_argument("--prefetch", type=count, default=100, metavar="N", help="(100)")
    parser.add_argument("--confirm", action="store_true", help="wait for each confirm")


def run(args: argparse.Namespace, console: Console) -> int:
    with connected(args, console, confirm_publish=args.confirm) as connection:
        name = f"kombu-bench-{uuid()}"
        with closing(connection.channel()) as channel:
            queue = Queue(name, durable=True)(channel)
            queue.declare()
            try:
                publishing = _publish(connection, channel, name, args, console)
                received, consuming = _consume(connection, queue, args, console)
                latencies = _latency(connection, channel, queue, min(args.count, 200), args)
            finally:
                queue.delete()
    result = {
        "messages": args.count,
        "publish_per_second": round(args.count / publishing),
        "consume_per_second": round(received / consuming) if received else 0,
        "latency_ms_p50": _percentile(latencies, 0.50),
        "latency_ms_p99": _percentile(latencies, 0.99),
        "lost": args.count - received,
    }
    console.result(
        result,
        f"publish     {result['publish_per_second']:>9} /s\n"
        f"consume+ack {result['consume_per_second']:>9} /s\n"
        f"latency     p50 {result['latency_ms_p50']} ms, p99 {result['latency_ms_p99']} ms\n"
        f"lost        {result['lost']} of {args.count}",
    )
    return FAILED if result["lost"] else OK


def _publish(
    connection: Connection, channel: Any, name: str, args: argparse.Namespace, console: Console
) -> float:
    producer = connection.Producer(channel)
    body = "x" * args.size
    started = time.perf_counter()
    for number in range(args.count):
        producer.publish(body, exchange="", routing_key=name)
        console.progress("published", number + 1, args.count)
    return time.perf_counter() - started


def _consume(
    connection: Connection, queue: Any, args: argparse.Namespace, console: Console
) -> tuple[int, float]:
    received = 0

    def handle(message: Any) -> None:
        nonlocal received
        message.ack()
        received += 1

    with closing(connection.channel()) as channel:
        consumer = connection.Consumer(
            Queue(queue.name, no_declare=True),
            channel=channel,
            on_message=handle,
            prefetch_count=args.prefetch,
            auto_declare=False,
        )
        started = time.perf_counter()
        with consumer:
            while received < args.count:
                try:
                    connection.drain_events(timeout=max(args.timeout, 1))
                except TimeoutError:
                    break
                console.progress("consumed", received, args.count)
        return received, time.perf_counter() - started


def _latency(
    connection: Connection, channel: Any, queue: Any, times: int, args: argparse.Namespace
) -> list[float]:
    """Milliseconds from a publish to its consumer, one message at a time."""
    producer = connection.Producer(channel)
    arrived: list[float] = []

    def handle(message: Any) -> None:
        arrived.append(time.perf_counter())
        message.ack()

    taken = []
    with closing(connection.channel()) as receiving:
        consumer = connection.Consumer(
            Queue(queue.name, no_declare=True),
            channel=receiving,
            on_message=handle,
            auto_declare=False,
        )
        with consumer:
            for number in range(times):
                started = time.perf_counter()
                producer.publish("x" * args.size, exchange="", routing_key=queue.name)
                while len(arrived) <= number:
                    connection.drain_events(timeout=max(args.timeout, 1))
                taken.append((arrived[number] - started) * 1000)
    return sorted(taken)


def _percentile(values: list[float], share: float) -> float | None:
    return round(values[int(share * (len(values) - 1))], 3) if values else None
