"""What Kafka publishers know of bindings, and what it costs them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from uuid import uuid4

import pytest

from kombu import Connection, Exchange, Queue
from kombu.transport.confluentkafka import topology
from kombu.transport.confluentkafka.clients import Clients
from kombu.transport.confluentkafka.store import KafkaStore
from t.integration.kafka.settings import TANSU
from t.services.pool import Servers

BIND = """
import json, sys
from kombu import Connection, Exchange, Queue
url, options, exchange, queue = sys.argv[1:]
with Connection(url, transport_options=json.loads(options)) as connection:
    fanout = Exchange(exchange, "fanout", durable=False)
    Queue(queue, fanout)(connection.default_channel).declare()
"""


@pytest.mark.server("kafka")
def test_publishing_asks_for_bindings_now_and_then(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology, "FRESH", 60.0)
    url, suffix = servers.env("kafka")["KAFKA_URL"], uuid4().hex[:8]
    # Slow to hear of others, so that what is known at once was asked for.
    slow = {**TANSU["kafka_consumer_config"], "fetch.wait.max.ms": 600}
    options = {
        **TANSU,
        "topology_topic": f"kombu.topology-{suffix}",
        "kafka_consumer_config": slow,
    }
    with Connection(url, transport_options=options) as connection:
        channel = connection.default_channel
        exchange = Exchange(f"x-{suffix}", "fanout", durable=False)(channel)
        Queue(f"near-{suffix}", exchange)(channel).declare()
        producer = connection.Producer(channel, exchange=exchange)
        store = connection.transport.store
        assert isinstance(store, KafkaStore) and store.topology is not None
        ends = Counted(store.topology.clients)
        for number in range(100):
            producer.publish(number)
        assert ends.count <= 1
        # This process's own are known at once, whichever connection they were made by.
        with connection.clone() as second:
            Queue(f"own-{suffix}")(second.default_channel).declare()
            second.default_channel.queue_bind(f"own-{suffix}", exchange.name, "")
            producer.publish("own")
        own = Queue(f"own-{suffix}")(channel)
        assert own.queue_declare(passive=True).message_count == 1
        # Those of others, soon.
        monkeypatch.undo()
        far = f"far-{suffix}"
        arguments = [url, json.dumps(options), exchange.name, far]
        subprocess.run([sys.executable, "-c", BIND, *arguments], check=True, timeout=60)

        late = Queue(far)(channel)
        deadline = time.monotonic() + 30
        while not late.queue_declare(passive=True).message_count:
            assert time.monotonic() < deadline, "no message reached the queue bound elsewhere"
            producer.publish("far")


class Counted:
    """Counts how often the end of a topic is asked for."""

    def __init__(self, clients: Clients) -> None:
        self.count = 0
        self._end = clients.end
        clients.end = self._ask  # type: ignore[method-assign]

    def _ask(self, topic: str, partition: int) -> tuple[int, int]:
        self.count += 1
        return self._end(topic, partition)
