"""Nothing that was confirmed is lost while the broker is killed under load.

KOMBU_TEST_KILLS says how often (2 here; the benchmarks page tells of 20).
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter

import pytest

from kombu import Queue
from kombu.mixins import ConsumerMixin

pytestmark = pytest.mark.server("rabbitmq")

KILLS = int(os.environ.get("KOMBU_TEST_KILLS", "2"))
POLICY = {"max_retries": 200, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.5}


class Reader(ConsumerMixin):
    def __init__(self, connection, queue):
        self.connection = connection
        self.queue = queue
        self.seen = Counter()

    def get_consumers(self, Consumer, channel):
        return [Consumer([self.queue], callbacks=[self.handle], prefetch_count=50)]

    def handle(self, body, message):
        self.seen[body] += 1
        message.ack()


@pytest.mark.timeout(90 + 30 * KILLS)
@pytest.mark.parametrize("arguments", [{}, {"x-queue-type": "quorum"}], ids=["classic", "quorum"])
def test_confirmed_messages_survive(connect, broker, name, arguments, capsys):
    queue = Queue(name, durable=True, queue_arguments=arguments)
    reader = Reader(connect(broker.url), queue)
    reading = threading.Thread(target=reader.run)
    publisher = connect(broker.url, transport_options={"confirm_publish": True})
    queue(publisher.default_channel).declare()
    confirmed, stop = [], threading.Event()

    def publish():
        number = 0
        producer = publisher.Producer()
        while not stop.is_set():
            producer.publish(number, routing_key=name, retry=True, retry_policy=POLICY)
            confirmed.append(number)
            number += 1

    publishing = threading.Thread(target=publish)
    reading.start()
    publishing.start()
    try:
        for _ in range(KILLS):
            goal = len(confirmed) + 300
            deadline = time.monotonic() + 25
            while len(confirmed) < goal:
                assert time.monotonic() < deadline, "the publisher does not go on"
                time.sleep(0.01)
            broker.restart()
    finally:
        stop.set()
        publishing.join(60)
        deadline = time.monotonic() + 30
        while set(confirmed) - reader.seen.keys() and time.monotonic() < deadline:
            time.sleep(0.05)
        reader.should_stop = True
        reading.join(30)
    lost = set(confirmed) - reader.seen.keys()
    twice = sum(count - 1 for count in reader.seen.values())
    with capsys.disabled():
        print(f" {len(confirmed)} confirmed, lost {len(lost)}, delivered again {twice}", end=" ")
    assert not lost
    assert not publishing.is_alive()
    assert not reading.is_alive()
