"""Published kombu and ours on the same Pub/Sub topics and subscriptions (Google's emulator).

5.7 can't publish to a queue that is bound to no exchange, and has no topic exchanges; it
counts and purges with Cloud Monitoring, which the emulator has not.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any
from uuid import uuid4

import pytest

from kombu import Exchange, Queue
from t.interop.both_ways import (
    FanoutBothWays,
    ReadsAndWrites,
    RemoteControlBothWays,
    Site,
    received,
)
from t.interop.published import Published
from t.peers import published_python
from t.services.pool import Servers

#: 5.7 returns from a direct publish before Pub/Sub has the message: a process that ends then
#: loses it, so that this one waits for its client's batch to go.
PUBLISH = """
import json, sys, time
from kombu import Connection, Exchange, Queue
url, options, name, count = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], int(sys.argv[4])
with Connection(url, transport_options=options) as connection:
    queue = Queue(name, Exchange("exch"), routing_key="k")
    for number in range(count):
        connection.Producer().publish(
            {"i": number}, exchange="exch", routing_key="k", declare=[queue]
        )
    time.sleep(2)
"""


def put(connection: Any, name: str, *numbers: int) -> Queue:
    """Publish, and give the queue that receives."""
    queue = Queue(name, Exchange("exch"), routing_key="k")
    with connection.Producer() as producer:
        for number in numbers:
            producer.publish({"i": number}, exchange="exch", routing_key="k", declare=[queue])
    return queue


@pytest.mark.server("pubsub")
class TestPubSub(FanoutBothWays, RemoteControlBothWays):
    published = ReadsAndWrites.published
    connection = ReadsAndWrites.connection
    name = ReadsAndWrites.name
    linger = 2.0

    @pytest.fixture
    def site(self, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Site:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", servers.env("pubsub")["PUBSUB_EMULATOR_HOST"])
        options = {"ack_deadline_seconds": 10, "wait_time_seconds": 2}
        return Site(f"gcpubsub://projects/interop-{uuid4().hex[:8]}", options, options)

    def publish(self, site: Site, name: str, count: int) -> None:
        options = json.dumps(site.published_options)
        command = [published_python(), "-I", "-c", PUBLISH, site.url, options, name, str(count)]
        subprocess.run(command, check=True, timeout=60, cwd="/")

    @pytest.mark.interop("queue", "published->ours")
    def test_ours_reads_what_published_wrote(self, site: Site, connection: Any, name: str) -> None:
        self.publish(site, name, 5)
        queue = Queue(name, Exchange("exch"), routing_key="k")
        messages = received(connection, queue, 5)
        assert sorted(each.payload["i"] for each in messages) == [0, 1, 2, 3, 4]
        assert messages[0].delivery_info["routing_key"] == "k"

    @pytest.mark.interop("queue", "ours->published")
    def test_published_reads_what_ours_wrote(
        self, published: Published, connection: Any, name: str
    ) -> None:
        put(connection, name, *range(5))
        result = published.run("consume", name, "5", exchange="exch", binding_key="k")
        assert sorted(each["body"]["i"] for each in result["received"]) == [0, 1, 2, 3, 4]

    @pytest.mark.interop("queue", "ours->published")
    def test_ours_writes_to_a_queue_that_published_made(
        self, site: Site, published: Published, connection: Any, name: str
    ) -> None:
        self.publish(site, name, 1)
        put(connection, name, 1)
        result = published.run("consume", name, "2", exchange="exch", binding_key="k")
        assert sorted(each["body"]["i"] for each in result["received"]) == [0, 1]

    @pytest.mark.interop("requeue", "published->ours")
    def test_what_published_requeues_comes_here(
        self, published: Published, connection: Any, name: str
    ) -> None:
        queue = put(connection, name, 1)
        published.run("consume", name, "1", exchange="exch", binding_key="k", settle="requeue")
        (message,) = received(connection, queue, 1, timeout=30)
        assert message.payload == {"i": 1}

    @pytest.mark.interop("requeue", "ours->published")
    def test_what_ours_requeues_goes_there(
        self, published: Published, connection: Any, name: str
    ) -> None:
        queue = put(connection, name, 1)
        held: list[Any] = []
        with connection.Consumer(queue, on_message=held.append):
            while not held:
                connection.drain_events(timeout=5)
        held[0].requeue()
        result = published.run("consume", name, "1", exchange="exch", binding_key="k", timeout=30)
        assert result["received"][0]["body"] == {"i": 1}
