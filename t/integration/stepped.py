"""What stores do whose queues are one queue of the backend for each priority step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kombu.testing.conformance.store import StoreContract, bodies
from kombu.transport.virtual.store import QueueSpec, Store

OpenStore = Callable[..., Any]


class SteppedContract(StoreContract):
    """The contract, and what goes for priorities."""

    def test_priorities_are_queues_of_their_own(self, open_store: OpenStore) -> None:
        store = open_store()
        store.declare(QueueSpec("urgent", arguments=self.priority_arguments))
        self.put(store, "urgent", "low")
        self.put(store, "urgent", "high", priority=9)
        assert store.size("urgent") == 2
        assert bodies(self.claim(store, "urgent", 2)) == ["high", "low"]
        assert store.delete("urgent") == 0


class VisibilityContract(SteppedContract):
    """Whose lease is a visibility timeout, said in option ``lease``."""

    def test_purge_leaves_what_is_claimed(self, store: Store, queue: str) -> None:
        """The backend's own purge takes what is held, too; it still can be settled."""
        self.put(store, queue, "one", "two", "three")
        (claim,) = self.claim(store, queue, 1)
        assert store.purge(queue) == 2
        store.settle(releases=[claim])
        assert store.size(queue) == 0

    def test_a_dead_owners_message_returns_within_its_lease(
        self, open_store: OpenStore, queue: str
    ) -> None:
        dead, living = open_store(lease=1), open_store()
        self.put(dead, queue, "a")
        self.claim(dead, queue, 1)
        (again,) = self.claim(living, queue, 1)
        assert again.message["body"] == "a"
        assert again.redelivered


class UnorderedReturns(StoreContract):
    """What is given back goes where the backend likes."""

    def test_released_messages_return_to_the_head_in_order(self, store: Store, queue: str) -> None:
        """They do return, in an order that the backend does not promise."""
        self.put(store, queue, *"abcdef")
        claims = self.claim(store, queue, 4)
        store.settle(acks=[claims[1]], releases=[claims[3], claims[0], claims[2]])
        again = self.claim(store, queue, 5)
        assert sorted(bodies(again)) == ["a", "c", "d", "e", "f"]
        assert [claim.redelivered for claim in again].count(True) == 3
