"""Queue arguments and message properties as decisions."""

from __future__ import annotations

from typing import Any

import pytest

from kombu.transport.virtual import policy
from kombu.transport.virtual.policy import QueuePolicy

NOW = 1_700_000_000.0


def message(headers: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    return {
        "body": "Ym9keQ==",
        "headers": headers or {},
        "properties": {
            "body_encoding": "base64",
            "delivery_info": {"exchange": "x", "routing_key": "k"},
            **properties,
        },
    }


@pytest.mark.parametrize("arguments", [None, {}, {"x-queue-type": "quorum"}])
def test_arguments_that_demand_nothing(arguments: Any) -> None:
    assert QueuePolicy.of(arguments) is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"x-message-ttl": "soon"},
        {"x-message-ttl": -1},
        {"x-expires": 0},
        {"x-max-length": -5},
        {"x-overflow": "explode"},
        {"x-dead-letter-exchange": 7},
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        QueuePolicy.of(arguments)


def test_the_shorter_time_to_live_holds_and_travels() -> None:
    queue = QueuePolicy.of({"x-message-ttl": 5000})
    given = message(expiration="2000")
    put = policy.put_of("q", given, queue, NOW)
    assert put.expires_at == NOW + 2
    assert put.message["properties"]["x-expires-at"] == NOW + 2
    assert "x-expires-at" not in given["properties"]
    assert policy.put_of("q", message(), queue, NOW).expires_at == NOW + 5
    assert not policy.expired(put.message, NOW + 1.9)
    assert policy.expired(put.message, NOW + 2)


def test_a_delayed_message_ages_from_its_arrival() -> None:
    put = policy.put_of("q", message({"x-delay": 3000}, expiration="1000"), None, NOW)
    assert (put.ready_at, put.expires_at) == (NOW + 3, NOW + 4)


@pytest.mark.parametrize(
    ("given", "name"),
    [(message(expiration="late"), "expiration"), (message({"x-delay": "late"}), "x-delay")],
)
def test_bad_times_are_named(given: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        policy.put_of("q", given, None, NOW)


def test_priority_stays_within_the_queues() -> None:
    assert policy.put_of("q", message(priority=99), None, NOW).priority == 9
    queue = QueuePolicy.of({"x-max-priority": 5})
    assert policy.put_of("q", message(priority=9), queue, NOW).priority == 5


def test_size_is_the_bodys() -> None:
    assert policy.size_of(message()) == len(b"body")
    assert policy.size_of({"body": "text", "properties": {}}) == 4


def test_a_death_is_written_as_rabbitmq_writes_it() -> None:
    dead = policy.dead_letter(message(expiration="50"), "q", "expired", NOW)
    assert dead["headers"]["x-death"] == [
        {
            "count": 1,
            "exchange": "x",
            "queue": "q",
            "reason": "expired",
            "routing-keys": ["k"],
            "time": int(NOW),
            "original-expiration": "50",
        }
    ]
    assert "expiration" not in dead["properties"]
    for which in ("first", "last"):
        assert dead["headers"][f"x-{which}-death-queue"] == "q"
        assert dead["headers"][f"x-{which}-death-reason"] == "expired"
        assert dead["headers"][f"x-{which}-death-exchange"] == "x"


def test_dying_again_counts_and_moves_to_the_front() -> None:
    first = policy.dead_letter(message(), "q", "rejected", NOW)
    second = policy.dead_letter(first, "other", "expired", NOW)
    third = policy.dead_letter(second, "q", "rejected", NOW)
    assert [(d["queue"], d["count"]) for d in third["headers"]["x-death"]] == [
        ("q", 2),
        ("other", 1),
    ]
    assert third["headers"]["x-first-death-queue"] == "q"
    assert third["headers"]["x-last-death-queue"] == "q"
    assert second["headers"]["x-last-death-queue"] == "other"


def test_a_cycle_without_a_rejection_is_one() -> None:
    expired = policy.dead_letter(message(), "q", "expired", NOW)
    assert policy.is_cycle(expired, "q")
    assert not policy.is_cycle(expired, "other")
    rejected = policy.dead_letter(expired, "between", "rejected", NOW)
    assert not policy.is_cycle(rejected, "q")


def test_unused_queues_outlive_their_time() -> None:
    queue = QueuePolicy.of({"x-expires": 1000})
    assert queue is not None
    assert policy.unused(queue, 10.0, 0, 11.0)
    assert not policy.unused(queue, 10.0, 0, 10.9)
    assert not policy.unused(queue, 10.0, 1, 99.0)
