"""SQS under the event loop: nothing that the network does holds the loop up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from kombu import Connection, Consumer, Queue
from kombu.asynchronous import Hub
from kombu.testing.faults import FaultProxy
from t.services.pool import Servers

pytestmark = [pytest.mark.server("sqs"), pytest.mark.timeout(60)]

TICK = 0.01
#: Far more than a tick, for busy machines; far less than one answer takes.
LONGEST_GAP = 0.6
LATENCY = 0.8


@pytest.fixture
def proxy(servers: Servers) -> Iterator[FaultProxy]:
    parts = urlsplit(servers.env("sqs")["SQS_ENDPOINT"])
    proxy = FaultProxy(parts.hostname or "", parts.port or 0).start()
    yield proxy
    proxy.stop()


@pytest.fixture
def lease() -> float:
    """Seconds; far more than a slow network takes for an acknowledgement."""
    return 60


@pytest.fixture
def connection(proxy: FaultProxy, lease: float) -> Iterator[Any]:
    options = {
        "endpoint_url": f"http://127.0.0.1:{proxy.port}",
        "is_secure": False,
        "wait_time_seconds": 2,
        "lease": lease,
        "queue_name_prefix": f"{uuid4().hex[:8]}-",
    }
    with Connection("sqs://key:secret@", transport_options=options) as connection:
        yield connection


class Ticking:
    """A loop with a timer: its longest silence is how long something held it up."""

    def __init__(self, connection: Any) -> None:
        self.hub = Hub()
        self.longest = 0.0
        self._last = time.monotonic()
        connection.register_with_event_loop(self.hub)
        self.hub.call_repeatedly(TICK, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        self.longest = max(self.longest, now - self._last)
        self._last = now

    def run(self, until: Any, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        self._last = time.monotonic()
        for _ in self.hub.loop:
            if until() or time.monotonic() > end:
                return


def test_a_slow_network_does_not_hold_up_the_loop(connection: Any, proxy: FaultProxy) -> None:
    queue = Queue("loop")(connection.default_channel)
    queue.declare()
    with connection.Producer() as producer, producer.batch():
        for number in range(30):
            producer.publish(number, routing_key="loop")
    seen: list[int] = []
    done_at: list[float] = []

    def received(message: Any) -> None:
        seen.append(message.payload)
        message.ack()
        done_at.append(time.monotonic())

    with Consumer(connection.channel(), [queue], on_message=received, prefetch_count=20):
        ticking = Ticking(connection)
        proxy.set(latency=LATENCY)
        ticking.run(lambda: len(seen) == 30)
        # Until the last acknowledgements have left, and some polls came back empty.
        ticking.run(lambda: time.monotonic() - done_at[-1] > 4)
        proxy.heal()
    assert sorted(seen) == list(range(30))
    assert ticking.longest < LONGEST_GAP
    assert queue.queue_declare(passive=True).message_count == 0


@pytest.mark.parametrize("lease", [3])
def test_leases_are_renewed_while_the_loop_runs(connection: Any) -> None:
    queue = Queue("long")(connection.default_channel)
    queue.declare()
    connection.Producer().publish("work", routing_key="long")
    held: list[Any] = []
    with Consumer(connection.channel(), [queue], on_message=held.append, prefetch_count=5):
        ticking = Ticking(connection)
        ticking.run(lambda: held)
        begun = time.monotonic()
        ticking.run(lambda: time.monotonic() - begun > 5)  # nearly two leases
    assert len(held) == 1
    held[0].ack()
