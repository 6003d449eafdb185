"""What the published kombu does on the other side; runs in an environment of its own.

``published_peer.py URL QUEUE produce COUNT | consume COUNT | hold COUNT | raw COUNT``
"""

import json
import sys

from kombu import Connection, Queue


def main() -> None:
    url, name, what, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    told = []
    with Connection(url) as connection:
        channel = connection.channel()
        queue = Queue(name)(channel)
        queue.declare()
        if what == "produce":
            producer = connection.Producer()
            for number in range(count):
                producer.publish({"n": number}, exchange="", routing_key=name, priority=number % 10)
        else:
            for _ in range(count):
                message = queue.get()
                if message is None:
                    break
                told.append([message.payload, bool(message.delivery_info.get("redelivered"))])
                if what == "requeue":
                    message.requeue()
                else:
                    message.ack()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
