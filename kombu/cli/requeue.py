"""``kombu requeue``: send dead letters back to where they died."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from kombu.cli.arguments import FAILED, NOTHING, OK, command, connected, count
from kombu.cli.console import Console
from kombu.entity import Queue

#: Headers that tell of deaths; without them the message starts anew.
_DEATHS = ("x-death", "x-first-death-", "x-last-death-", "x-opt-deaths")

#: Properties of a message that are handed on.
_KEPT = (
    *("correlation_id", "reply_to", "message_id", "timestamp", "type", "user_id", "app_id"),
    *("delivery_mode", "priority"),
)


def add(subparsers: Any) -> None:
    parser = command(subparsers, "requeue", run, "send dead letters back to their queues")
    parser.add_argument("queue", metavar="DEAD_LETTER_QUEUE")
    parser.add_argument("--to", metavar="QUEUE", help="send all there, whatever x-death says")
    parser.add_argument("-n", "--count", type=count, metavar="N", help="at most that many")


def run(args: argparse.Namespace, console: Console) -> int:
    back = left = 0
    returned: list[Any] = []

    def on_return(exc: BaseException, exchange: str, routing_key: str, message: Any) -> None:
        returned.append(message)

    with (
        connected(args, console, confirm_publish=True) as connection,
        closing(connection.channel()) as channel,
    ):
        there = channel.queue_declare(args.queue, passive=True).message_count
        queue = Queue(args.queue, no_declare=True)(channel)
        producer = connection.Producer(channel, on_return=on_return)
        kept: list[Any] = []
        most = min(there, args.count) if args.count else there
        while back < most and back + left < there:
            message = queue.get()
            if message is None:
                break
            target = args.to or died_in(message.headers)
            if target is None:
                kept.append(message)
                left += 1
                continue
            returned.clear()
            properties = {
                name: value for name, value in message.properties.items() if name in _KEPT
            }
            if properties.get("user_id") != connection.userid:
                # RabbitMQ refuses what a user signs with another's name.
                properties.pop("user_id", None)
            producer.publish(
                message.body,
                exchange="",
                routing_key=target,
                content_type=message.content_type,
                content_encoding=message.content_encoding,
                headers=without_deaths(message.headers),
                compression=None,
                mandatory=True,
                timeout=args.timeout,
                **properties,
            )
            if returned:
                console.message(f"the queue {target!r} is not there any more; --to names another")
                kept.append(message)
                left += 1
                continue
            # Only now that it is safe in its queue.
            message.ack()
            back += 1
            console.progress("requeued", back, most)
        for message in kept:
            message.requeue()
    console.result(
        {"requeued": back, "left": left},
        f"{back} sent back" + (f", {left} left: it is not known where to" if left else ""),
    )
    if left:
        return FAILED
    return OK if back else NOTHING


def died_in(headers: Mapping[str, Any]) -> str | None:
    """The queue of the latest death, as RabbitMQ's ``x-death`` tells."""
    deaths = headers.get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], Mapping):
        queue = deaths[0].get("queue")
        return str(queue) if queue else None
    return None


def without_deaths(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The headers without what tells of deaths and of a compression that is undone."""
    return {
        name: value
        for name, value in headers.items()
        if not name.startswith(_DEATHS) and name != "compression"
    }
