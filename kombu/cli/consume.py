"""``kombu consume``: print messages; each is acknowledged once it is printed."""

from __future__ import annotations

import argparse
import json
import time
from contextlib import closing
from typing import Any

from kombu.cli.arguments import NOTHING, OK, command, connected, count, seconds
from kombu.cli.bodies import SAFE, as_line, as_record
from kombu.cli.console import Console
from kombu.connection import Connection
from kombu.entity import Queue

#: Most messages held at a time.
WINDOW = 50


def add(subparsers: Any) -> None:
    parser = command(subparsers, "consume", run, "print messages of a queue and acknowledge them")
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument("-n", "--count", type=count, metavar="N", help="that many, then end")
    parser.add_argument(
        "--wait",
        type=seconds,
        default=1.0,
        metavar="SECONDS",
        help="end when nothing arrives for that long (1)",
    )
    parser.add_argument("--follow", action="store_true", help="go on until interrupted")
    parser.add_argument("--peek", action="store_true", help="put them back instead")


def run(args: argparse.Namespace, console: Console) -> int:
    with connected(args, console) as connection:
        printed = 0
        if args.peek and args.count is None:
            # What is put back comes again: look at what is there now, and no more.
            with closing(connection.channel()) as channel:
                there = channel.queue_declare(args.queue, passive=True).message_count
            args.count = there
        while args.count is None or printed < args.count:
            limit = WINDOW if args.count is None else args.count - printed
            window = limit if args.peek else min(limit, WINDOW)
            taken = _window(connection, args, console, window)
            printed += taken
            if taken < window:
                break
    if not printed:
        console.message(f"no message in queue {args.queue!r}")
        return NOTHING
    return OK


def _window(connection: Connection, args: argparse.Namespace, console: Console, limit: int) -> int:
    """Print up to ``limit`` messages; how many there were.

    No more are taken than are printed: with a count, none is acknowledged before the consumer
    is cancelled, so that the broker sends none in its place.
    """
    held: list[Any] = []
    taken = 0

    def show(message: Any) -> None:
        nonlocal taken
        line = json.dumps(as_record(message), default=str) if args.json else as_line(message)
        console.payload(line)
        taken += 1
        if args.count is None and not args.peek:
            message.ack()
        else:
            held.append(message)

    with closing(connection.channel()) as channel:
        queue = Queue(args.queue, no_declare=True)
        consumer = connection.Consumer(
            queue,
            channel=channel,
            on_message=show,
            accept=SAFE,
            prefetch_count=limit,
            auto_declare=False,
        )
        with consumer:
            deadline = time.monotonic() + args.wait
            while args.count is None or taken < limit:
                left = None if args.follow else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                before = taken
                try:
                    connection.drain_events(timeout=left)
                except TimeoutError:
                    break
                if taken > before:
                    deadline = time.monotonic() + args.wait
        for message in held:
            if args.peek:
                message.requeue()
            else:
                message.ack()
    return taken
