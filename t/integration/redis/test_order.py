"""``queue_order_strategy``: the order across queues, as the published package has it."""

from __future__ import annotations

from typing import Any

import pytest

from kombu import Connection, Consumer, Producer, Queue
from kombu.utils.scheduling import sorted_cycle
from t.integration.redis.servers import RedisServer

NAMES = ["b", "c", "a"]

IN_TURN = ["b0", "c0", "a0", "b1", "c1", "a1", "b2", "c2", "a2", "c-low", "a-low"]
SORTED = ["a0", "a1", "a2", "b0", "b1", "b2", "c0", "c1", "c2", "a-low", "c-low"]
AS_GIVEN = ["b0", "b1", "b2", "c0", "c1", "c2", "a0", "a1", "a2", "c-low", "a-low"]

#: Option -> order, recorded from kombu 5.7.0.
RECORDED = {None: IN_TURN, "round_robin": IN_TURN, "sorted": SORTED, "priority": AS_GIVEN}


class backwards(sorted_cycle):
    """By name, the last first."""

    def consume(self, n: int) -> list[Any]:
        return super().consume(n)[::-1]


def deliveries(url: str, prefetch: int, **options: Any) -> list[str]:
    with Connection(url, transport_options=options) as connection:
        channel = connection.channel()
        queues = [Queue(name) for name in NAMES]
        for queue in queues:
            queue(channel).declare()
        producer = Producer(channel)
        for number in range(3):
            for name in sorted(NAMES):
                producer.publish(f"{name}{number}", routing_key=name)
        for name in ("a", "c"):
            producer.publish(f"{name}-low", routing_key=name, priority=9)
        got: list[str] = []
        with Consumer(
            channel,
            queues,
            on_message=lambda message: (got.append(message.payload), message.ack()),
            prefetch_count=prefetch,
        ):
            while len(got) < 11:
                connection.drain_events(timeout=5)
        return got


@pytest.mark.parametrize("scheme", ["redis", "redis+streams"])
@pytest.mark.parametrize("prefetch", [1, 4, 100])
@pytest.mark.parametrize("strategy", RECORDED)
def test_queues_are_served_in_the_order_asked_for(
    server: RedisServer, strategy: str | None, prefetch: int, scheme: str
) -> None:
    options = {} if strategy is None else {"queue_order_strategy": strategy}
    url = server.url.replace("redis:", f"{scheme}:", 1)
    assert deliveries(url, prefetch, **options) == RECORDED[strategy]


@pytest.mark.parametrize("named", [backwards, f"{__name__}:backwards"])
def test_the_order_may_be_a_class(server: RedisServer, named: Any) -> None:
    got = deliveries(server.url, 1, queue_order_strategy=named)
    assert got[:9] == ["c0", "c1", "c2", "b0", "b1", "b2", "a0", "a1", "a2"]


def test_an_unknown_order_is_refused(server: RedisServer) -> None:
    with pytest.raises(ValueError, match="round_robin, sorted, priority"):
        deliveries(server.url, 1, queue_order_strategy="prioriti")
