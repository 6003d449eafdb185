"""The published kombu's side of an interoperability test; run by another interpreter.

Prints one JSON object per line; what it does is named by the first argument.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.pidbox import Mailbox


def say(**what):
    print(json.dumps(what), flush=True)


def drain(connection, enough, seconds=10.0):
    end = time.monotonic() + seconds
    while not enough() and time.monotonic() < end:
        with contextlib.suppress(TimeoutError):
            connection.drain_events(timeout=0.5)


def entity(name, exchange, kind, key):
    if not exchange:
        return Queue(name)
    return Queue(name, Exchange(exchange, type=kind), routing_key=key)


def produce(connection, channel, order):
    if order.get("declare", True):
        entity(
            order["queue"], order.get("exchange"), order.get("type", "direct"), order.get("key")
        )(channel).declare()
    producer = Producer(channel)
    for body in order["bodies"]:
        producer.publish(
            body,
            exchange=order.get("exchange") or "",
            routing_key=order.get("routing_key") or order["queue"],
            **order.get("publish", {}),
        )
    say(done=len(order["bodies"]))


def consume(connection, channel, order):
    got = []

    def handle(message):
        got.append(message)
        how = order.get("how", "ack")
        if how == "ack":
            message.ack()
        elif how == "reject":
            message.reject()
        elif how == "requeue":
            message.requeue()
            got.append(None)

    queue = entity(
        order["queue"], order.get("exchange"), order.get("type", "direct"), order.get("key")
    )
    wanted = order["count"]
    with Consumer(
        channel,
        [queue],
        on_message=handle,
        prefetch_count=order.get("prefetch", wanted),
        accept=["json"],
    ):
        say(ready=True)
        drain(connection, lambda: len(got) >= wanted, order.get("seconds", 10))
        say(
            bodies=[message.payload for message in got if message],
            redelivered=[bool(message.headers.get("redelivered")) for message in got if message],
        )
        if order.get("how") == "die":
            os._exit(17)


def fanout(connection, channel, order):
    got = []
    queue = Queue(order["queue"], Exchange(order["exchange"], type="fanout"), auto_delete=True)
    with Consumer(
        channel, [queue], on_message=lambda message: (got.append(message.payload), message.ack())
    ):
        drain(connection, lambda: False, 0.6)
        say(ready=True)
        drain(connection, lambda: len(got) >= order["count"])
        say(bodies=got)


def fanout_produce(connection, channel, order):
    exchange = Exchange(order["exchange"], type="fanout")
    exchange(channel).declare()
    for body in order["bodies"]:
        Producer(channel).publish(body, exchange=exchange, routing_key="")
    say(done=True)


def restore(connection, channel, order):
    entity(order["queue"], order.get("exchange"), order.get("type", "direct"), order.get("key"))(
        channel
    ).declare()
    channel.qos._vrestore_count = 0
    channel.qos.restore_visible(num=None, interval=1)
    say(done=True)


def node(connection, channel, order):
    calls = []

    def ping(state, **arguments):
        calls.append(arguments)
        return {"ok": "pong"}

    mailbox = Mailbox(order["namespace"], type="fanout", connection=connection)
    consumer = mailbox.Node(order["name"], channel=channel, handlers={"ping": ping}).listen()
    drain(connection, lambda: False, 0.6)
    say(ready=True)
    drain(connection, lambda: calls)
    consumer.cancel()
    say(calls=len(calls))


def call(connection, channel, order):
    mailbox = Mailbox(order["namespace"], type="fanout", connection=connection)
    say(replies=mailbox._broadcast("ping", {}, reply=True, timeout=5, limit=1))


if __name__ == "__main__":
    what, url, text = sys.argv[1:]
    asked = json.loads(text)
    with Connection(url, transport_options=asked.get("options", {})) as opened:
        globals()[what](opened, opened.channel(), asked)
