"""Maximum length kept from outside, on a store that has no notion of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kombu.transport.virtual.bounds import Bounds
from kombu.transport.virtual.policy import size_of
from kombu.transport.virtual.store import Claim, PartialPutError, Put, QueueFull, QueueSpec
from kombu.transport.virtual.topology import Topology


class ListStore:
    """As much of a store as bounds ask for."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def put(self, puts: Sequence[Put]) -> None:
        self.messages += [put.message for put in puts]

    def size(self, queue: str) -> int:
        return len(self.messages)

    def body_bytes(self, queue: str) -> int:
        return sum(map(size_of, self.messages))

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        taken, self.messages = self.messages[:limit], self.messages[limit:]
        return [Claim(queues[0], message, None) for message in taken]


def puts(*bodies: str) -> list[Put]:
    return [Put("q", {"body": body, "properties": {}}) for body in bodies]


@pytest.fixture
def store() -> ListStore:
    return ListStore()


def bounded(store: ListStore, **arguments: Any) -> Bounds:
    topology = Topology()
    spelt = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    topology.declare_queue(QueueSpec("q", arguments=spelt), None)
    return Bounds(store, topology)  # type: ignore[arg-type]


def left(store: ListStore) -> list[str]:
    return [message["body"] for message in store.messages]


def test_the_oldest_go_until_the_bytes_fit(store: ListStore) -> None:
    bounds = bounded(store, max_length_bytes=10)
    bounds.put(puts("aaaa", "bbbb", "cccc"))
    (discard,) = bounds.overflow(100)
    assert (discard.reason, discard.claim.message["body"]) == ("maxlen", "aaaa")
    assert left(store) == ["bbbb", "cccc"]
    bounds.put(puts("d" * 11))
    assert len(bounds.overflow(100)) == 3  # what is larger than the limit goes, too
    assert left(store) == []


def test_both_limits_hold(store: ListStore) -> None:
    bounds = bounded(store, max_length_bytes=10, max_length=3)
    bounds.put(puts("a", "b", "c", "dddddd", "eee"))
    assert len(bounds.overflow(100)) == 2
    assert left(store) == ["c", "dddddd", "eee"]


def test_the_rest_is_dropped_in_the_next_round(store: ListStore) -> None:
    bounds = bounded(store, max_length_bytes=3)
    bounds.put(puts(*"abcdefg"))
    assert [len(bounds.overflow(3)) for _ in range(3)] == [3, 1, 0]
    assert left(store) == ["e", "f", "g"]


def test_a_full_queue_refuses_bytes(store: ListStore) -> None:
    bounds = bounded(store, max_length_bytes=5, overflow="reject-publish")
    with pytest.raises(PartialPutError) as refused:
        bounds.put(puts("aaa", "bbb", "cc", "d"))
    assert sorted(refused.value.failed) == [1, 3]
    assert left(store) == ["aaa", "cc"]
    with pytest.raises(QueueFull):
        bounds.put(puts("d"))
