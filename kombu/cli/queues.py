"""``kombu queues``, ``kombu declare`` and ``kombu purge``."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from typing import Any

from kombu.cli.arguments import FAILED, OK, UsageError, command, connected, pairs
from kombu.cli.console import Console
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.exceptions import HttpError
from kombu.transport.virtual.store import Store


def add(subparsers: Any) -> None:
    parser = command(subparsers, "queues", show, "sizes and consumers of queues")
    parser.add_argument(
        "queues",
        nargs="*",
        default=[],
        metavar="QUEUE",
        help="none: all, where the transport can list them",
    )

    parser = command(subparsers, "declare", declare, "make a queue and bind it")
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument("-x", "--exchange", help="bind it to this exchange, which is made too")
    parser.add_argument(
        "--type", default="direct", choices=("direct", "topic", "fanout", "headers")
    )
    parser.add_argument("-k", "--routing-key", action="append", metavar="KEY")
    parser.add_argument("--transient", action="store_true", help="not durable")
    parser.add_argument(
        "-a",
        "--argument",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a queue argument, e.g. x-max-length=1000",
    )

    parser = command(subparsers, "purge", purge, "drop the waiting messages of queues")
    parser.add_argument("queues", nargs="+", metavar="QUEUE")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def show(args: argparse.Namespace, console: Console) -> int:
    missing = 0
    with connected(args, console) as connection:
        if not args.queues and connection.transport.driver_type == "amqp":
            rows = _managed(connection)
            _print_header(console)
            for row in rows:
                _print_row(console, row)
            return OK
        names = args.queues or _all_queues(connection)
        _print_header(console)
        for name in names:
            # A channel each: a broker closes the channel on which a queue is not found.
            with closing(connection.channel()) as channel:
                try:
                    _, ready, consumers = channel.queue_declare(name, passive=True)
                except connection.channel_errors as exc:
                    console.message(f"{name}: {exc}")
                    missing += 1
                    continue
            counted = _counts_consumers(connection)
            row = {
                "queue": name,
                "ready": ready,
                "unacked": _held(connection, name),
                "consumers": consumers if counted else None,
            }
            _print_row(console, row)
    return FAILED if missing else OK


def _print_header(console: Console) -> None:
    if not console.as_json:
        console.result({}, f"{'queue':<40} {'ready':>9} {'unacked':>9} {'consumers':>9}")


def _print_row(console: Console, row: dict[str, Any]) -> None:
    shown = ["-" if value is None else value for value in row.values()]
    console.result(row, "{:<40} {:>9} {:>9} {:>9}".format(*shown))


def _managed(connection: Connection) -> list[dict[str, Any]]:
    """All queues of a virtual host, from RabbitMQ's management interface."""
    try:
        queues = connection.get_manager().get_queues(connection.virtual_host)
    except (OSError, HttpError) as exc:
        raise UsageError(
            "AMQP can't list queues, and RabbitMQ's management interface does not answer "
            f"({exc}): name the queues, or say where it is by -o manager_port=15672"
        ) from exc
    return [
        {
            "queue": queue["name"],
            "ready": queue.get("messages_ready"),
            "unacked": queue.get("messages_unacknowledged"),
            "consumers": queue.get("consumers"),
        }
        for queue in sorted(queues, key=lambda queue: str(queue["name"]))
    ]


def _all_queues(connection: Connection) -> list[str]:
    store = getattr(connection.transport, "store", None)
    names = store.queue_names() if isinstance(store, Store) else None
    if names is None:
        raise UsageError("this transport can't list its queues: name them")
    return sorted(names)


def _held(connection: Connection, queue: str) -> int | None:
    store = getattr(connection.transport, "store", None)
    return store.held(queue) if isinstance(store, Store) else None


def _counts_consumers(connection: Connection) -> bool:
    """Whether consumers of other processes are counted."""
    features = getattr(connection.transport, "features", None)
    if features is None:
        return True
    own_only = isinstance(getattr(connection.transport, "store", None), Store) and features.shared
    return bool(features.consumer_counts) and not own_only


def declare(args: argparse.Namespace, console: Console) -> int:
    durable = not args.transient
    arguments = pairs(args.argument, "--argument")
    keys = args.routing_key or [args.queue]
    with connected(args, console) as connection, closing(connection.channel()) as channel:
        exchange = Exchange(args.exchange or "", args.type, durable=durable)
        for key in keys if args.exchange else keys[:1]:
            queue = Queue(
                args.queue,
                exchange,
                routing_key=key,
                durable=durable,
                queue_arguments=arguments or None,
            )
            queue(channel).declare()
    console.result(
        {"declared": args.queue, "exchange": args.exchange, "routing_keys": keys},
        f"{args.queue} declared"
        + (f", bound to {args.exchange} by {', '.join(keys)}" if args.exchange else ""),
    )
    return OK


def purge(args: argparse.Namespace, console: Console) -> int:
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError("purge drops messages for good: confirm with --yes")
        console.message(f"drop all waiting messages of {', '.join(args.queues)}? [y/N] ")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return FAILED
    missing = 0
    with connected(args, console) as connection:
        for name in args.queues:
            with closing(connection.channel()) as channel:
                try:
                    channel.queue_declare(name, passive=True)
                    dropped = channel.queue_purge(name)
                except connection.channel_errors as exc:
                    console.message(f"{name}: {exc}")
                    missing += 1
                    continue
            console.result({"queue": name, "purged": dropped}, f"{name}: {dropped} dropped")
    return FAILED if missing else OK
