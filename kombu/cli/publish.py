"""``kombu publish``: send messages; done means that a queue has them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from kombu.cli.arguments import FAILED, OK, UsageError, command, connected, count, pairs, seconds
from kombu.cli.console import Console


def add(subparsers: Any) -> None:
    parser = command(subparsers, "publish", run, "send messages to a queue or an exchange")
    parser.add_argument("queue", metavar="QUEUE", help="a queue, or the routing key")
    parser.add_argument(
        "body",
        nargs="*",
        default=[],
        metavar="BODY",
        help="JSON, or else text; none, or -: each line of standard input",
    )
    parser.add_argument("-x", "--exchange", default="", help="an exchange instead of a queue")
    parser.add_argument("--text", action="store_true", help="bodies are text, never JSON")
    parser.add_argument(
        "-H", "--header", action="append", default=[], metavar="NAME=VALUE", help="a header"
    )
    parser.add_argument("--priority", type=int, choices=range(10), metavar="0-9", default=0)
    parser.add_argument("--expiration", type=seconds, metavar="SECONDS")
    parser.add_argument("--delay", type=seconds, metavar="SECONDS", help="hold it back that long")
    parser.add_argument("--repeat", type=count, default=1, metavar="N", help="send each N times")


def run(args: argparse.Namespace, console: Console) -> int:
    returned: list[str] = []
    headers = pairs(args.header, "--header")
    bodies = _bodies(args)
    sent = 0

    def on_return(exc: BaseException, exchange: str, routing_key: str, message: Any) -> None:
        returned.append(routing_key)

    with connected(args, console, confirm_publish=True) as connection:
        producer = connection.Producer(on_return=on_return)
        mandatory = bool(getattr(connection.transport, "features", None) is None) or bool(
            connection.transport.features.mandatory
        )
        for body in bodies:
            for _ in range(args.repeat):
                producer.publish(
                    body,
                    exchange=args.exchange,
                    routing_key=args.queue,
                    headers=headers,
                    priority=args.priority,
                    expiration=args.expiration,
                    delay=args.delay,
                    mandatory=mandatory,
                    timeout=args.timeout,
                )
                sent += 1
                console.progress("published", sent)
                if returned:
                    break
            if returned:
                break
    if returned:
        wanted = f"QUEUE -x {args.exchange} -k {args.queue}" if args.exchange else args.queue
        there = f"exchange {args.exchange!r}" if args.exchange else "the default exchange"
        console.message(
            f"no queue takes messages of {there} with the key {args.queue!r}; "
            f"declare one: kombu declare URL {wanted}"
        )
        sent -= 1
    console.result({"published": sent, "returned": len(returned)}, f"{sent} published")
    return FAILED if returned else OK


def _bodies(args: argparse.Namespace) -> Iterator[Any]:
    from_input = args.body in ([], ["-"])
    lines: Iterable[str] = (line.rstrip("\n") for line in sys.stdin) if from_input else args.body
    if not args.body and sys.stdin.isatty():
        raise UsageError("give a BODY, or lines on standard input")
    return (line if args.text else _parsed(line) for line in lines)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
