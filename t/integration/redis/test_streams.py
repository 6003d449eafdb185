"""Messages on streams: what came back, lengths, owners that are gone."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import redis

from kombu.testing.conformance.store import bodies, envelope
from kombu.transport.redis.store import RedisStore
from kombu.transport.virtual.store import Put, QueueFull, QueueSpec

OpenStore = Callable[..., RedisStore]
STREAM = "_kombu.stream.q"


def test_what_a_living_owner_holds_does_not_hide_what_a_dead_one_held(
    open_store: OpenStore,
) -> None:
    living, dead, other = (
        open_store(streams=True, lease=lease, waking=False) for lease in (30, 0.1, 0.2)
    )
    living.put([Put("q", envelope(str(number))) for number in range(1200)])
    held = [claim for _ in range(12) for claim in living.claim(["q"], 100)]
    assert len(held) == 1200
    living.put([Put("q", envelope("abandoned"))])
    assert len(dead.claim(["q"], 1)) == 1
    deadline = time.monotonic() + 5
    again: list[str] = []
    while not again and time.monotonic() < deadline:
        other.wait(["q"], 0.1)
        again = bodies(other.claim(["q"], 1))
    assert again == ["abandoned"]


def test_a_claim_of_the_same_moment_is_looked_at_when_its_lease_ends(
    open_store: OpenStore,
) -> None:
    dead, other = (open_store(streams=True, lease=lease, waking=False) for lease in (0.3, 60))
    for store in (dead, other):
        store.size("q")
    dead.put([Put("q", envelope("a"))])
    dead.claim(["q"], 1)
    assert other.claim(["q"], 1) == []
    deadline = time.monotonic() + 5
    again: list[str] = []
    while not again and time.monotonic() < deadline:
        other.wait(["q"], 0.1)
        again = bodies(other.claim(["q"], 1))
    assert again == ["a"]


def test_owners_that_are_gone_are_struck_off(open_store: OpenStore, client: redis.Redis) -> None:
    gone = open_store(streams=True, lease=0.02, waking=False)
    gone.put([Put("q", envelope("a"))])
    gone.settle(acks=gone.claim(["q"], 1))
    (name,) = (row["name"] for row in client.xinfo_consumers(STREAM, "kombu"))
    living = open_store(streams=True, lease=0.2, waking=False)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        living.wait(["q"], 0.05)
        living.claim(["q"], 1)
        if name not in [row["name"] for row in client.xinfo_consumers(STREAM, "kombu")]:
            break
    else:
        raise AssertionError(f"{name} is still known")


def test_what_came_back_counts_as_waiting_in_a_queue_with_a_maximum_length(
    open_store: OpenStore,
) -> None:
    store = open_store(streams=True)
    store.declare(QueueSpec("q", arguments={"x-max-length": 4}))
    store.put([Put("q", envelope(text)) for text in "abc"])
    store.settle(releases=store.claim(["q"], 2))
    store.put([Put("q", envelope("d"))])
    assert store.sweep(10) == []
    store.put([Put("q", envelope("e"))])
    assert bodies([each.claim for each in store.sweep(10)]) == ["a"]
    assert bodies(store.claim(["q"], 10)) == ["b", "c", "d", "e"]


def test_what_came_back_counts_for_a_maximum_of_bytes(open_store: OpenStore) -> None:
    store = open_store(streams=True)
    store.declare(QueueSpec("q", arguments={"x-max-length-bytes": 4}))
    store.declare(
        QueueSpec("r", arguments={"x-max-length-bytes": 4, "x-overflow": "reject-publish"})
    )
    for queue in ("q", "r"):
        store.put([Put(queue, envelope(text)) for text in "abc"])
        store.settle(releases=store.claim([queue], 2))
        store.put([Put(queue, envelope("d"))])
    assert store.sweep(10) == []
    store.put([Put("q", envelope("ef"))])
    assert bodies([each.claim for each in store.sweep(10)]) == ["a", "b"]
    with pytest.raises(QueueFull):
        store.put([Put("r", envelope("e"))])


def test_thousands_that_came_back_are_claimed_and_dropped(open_store: OpenStore) -> None:
    store = open_store(streams=True)
    for first in range(0, 9000, 3000):
        store.put([Put("q", envelope(str(number))) for number in range(first, first + 3000)])
    store.settle(releases=store.claim(["q"], 9000))
    again = store.claim(["q"], 8500)
    assert bodies(again) == [str(number) for number in range(8500)]
    store.settle(releases=again[1000:])
    store.put([Put("q", envelope(str(number))) for number in range(1500)])
    assert store.size("q") == store.purge("q") == 9500
    assert store.size("q") == 0
    store.settle(releases=again[:1000])
    assert bodies(store.claim(["q"], 2)) == ["0", "1"]
