"""Rate limits: turns, and what waits for them."""

from __future__ import annotations

from typing import Any

import pytest

from kombu import Connection, Queue
from kombu.exceptions import OperationalError
from kombu.middleware import RateLimit, RateLimitExceeded, TokenBucket


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


def test_turns() -> None:
    time = Time()
    bucket = TokenBucket(rate=10, burst=2, clock=time)
    assert [bucket.take(1) for _ in range(4)] == pytest.approx([0, 0, 0.1, 0.2])
    time.now += 0.2
    assert bucket.take(1) == pytest.approx(0.1)
    time.now += 100  # no more than the burst is saved up
    assert [bucket.take(1) for _ in range(3)] == pytest.approx([0, 0, 0.1])


def test_a_turn_that_would_come_too_late_is_not_taken() -> None:
    time = Time()
    bucket = TokenBucket(rate=1, clock=time)
    assert bucket.take(0) == 0
    assert bucket.take(0.5) is None
    assert bucket.take(1) == pytest.approx(1)


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_nonsense(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        TokenBucket(rate, burst)


def test_publishing_waits_and_gives_up() -> None:
    time = Time()
    limit = RateLimit(publish=10, max_wait=0.1, clock=time, sleep=time.sleep)
    with Connection("memory://", middleware=[limit]) as connection:
        producer = connection.Producer()
        for _ in range(3):
            producer.publish("x", routing_key="rates")
        assert time.slept == pytest.approx([0.1, 0.1])
        impatient = RateLimit(publish=1, max_wait=0.5, clock=time, sleep=time.sleep)
        connection.middleware.add(impatient)
        producer.publish("x", routing_key="rates")
        with pytest.raises(RateLimitExceeded, match="1 messages a second") as raised:
            producer.publish("x", routing_key="rates")
        assert isinstance(raised.value, OperationalError)
        assert connection.channel().queue_purge("rates") == 4


def test_handling_waits() -> None:
    time = Time()
    limit = RateLimit(handle=2, burst=2, max_wait=0, clock=time, sleep=time.sleep)
    seen: list[Any] = []

    def handle(body: Any, message: Any) -> None:
        seen.append((body, time.now))
        message.ack()

    with Connection("memory://", middleware=[limit]) as connection:
        for number in range(4):
            connection.Producer().publish(number, routing_key="rates")
        with connection.Consumer(Queue("rates"), callbacks=[handle]):
            while len(seen) < 4:
                connection.drain_events(timeout=5)
    assert seen == [(0, 0.0), (1, 0.0), (2, 0.5), (3, 1.0)]
