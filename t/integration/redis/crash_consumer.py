"""A consumer that is killed: writes each message's number to a file once it was handled."""

from __future__ import annotations

import json
import os
import sys
import time

from kombu import Connection, Consumer, Queue

#: Seconds of work per message.
WORK = 0.002


def main(url: str, queue: str, log: str, options: str) -> None:
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def handle(message: object) -> None:
        time.sleep(WORK)
        os.write(target, b"%d\n" % message.payload["n"])  # type: ignore[attr-defined]
        message.ack()  # type: ignore[attr-defined]

    with Connection(url, transport_options=json.loads(options)) as connection:
        channel = connection.channel()
        with Consumer(channel, [Queue(queue)], on_message=handle, prefetch_count=50):
            while True:
                connection.drain_events()


if __name__ == "__main__":
    main(*sys.argv[1:])
