"""The SQS store against a server that speaks AWS's protocol."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from kombu.testing.conformance.store import StoreContract, bodies, envelope
from kombu.transport.SQS.clients import Clients, Credentials
from kombu.transport.SQS.options import SQSOptions
from kombu.transport.SQS.store import SQSStore
from kombu.transport.virtual.errors import MessageTooLarge
from kombu.transport.virtual.store import Put, QueueSpec, Store
from t.services.pool import Servers

OpenStore = Callable[..., SQSStore]


@pytest.mark.server("sqs")
class TestSQSStore(StoreContract):
    may_overlap = True  # standard queues say so; moto looks and marks without a lock

    @pytest.fixture
    def open_store(self, servers: Servers) -> OpenStore:
        prefix = f"{uuid4().hex[:8]}-"

        def open_one(**options: object) -> SQSStore:
            parsed = SQSOptions.parse(
                {
                    "endpoint_url": servers.env("sqs")["SQS_ENDPOINT"],
                    "queue_name_prefix": prefix,
                    "lease": 6,
                    **options,
                },
                "sqs",
            )
            keys = Credentials("key", "secret")
            return SQSStore(Clients(parsed, keys, None, None, timeout=5), parsed)

        return open_one

    def test_purge_leaves_what_is_claimed(self, store: Store, queue: str) -> None:
        """SQS's own purge takes what is in flight, too; it still can be settled."""
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

    def test_a_message_too_large_is_named(self, open_store: OpenStore, queue: str) -> None:
        with pytest.raises(MessageTooLarge, match="bytes"):
            open_store().put([Put(queue, envelope("x" * 2_000_000))])

    def test_priorities_are_queues_of_their_own(self, open_store: OpenStore) -> None:
        store = open_store()
        store.declare(QueueSpec("urgent", arguments=self.priority_arguments))
        self.put(store, "urgent", "low")
        self.put(store, "urgent", "high", priority=9)
        assert store.size("urgent") == 2
        assert bodies(self.claim(store, "urgent", 2)) == ["high", "low"]
        assert store.delete("urgent") == 0

    def test_a_text_of_others_becomes_a_message(self, open_store: OpenStore, queue: str) -> None:
        store = open_store()
        url = store.queues.url(queue)
        store.clients.sqs(queue).send_message(QueueUrl=url, MessageBody="plain text")
        (claim,) = self.claim(store, queue, 1)
        assert claim.message["body"] == "plain text"
        assert claim.message["content-type"] is None

    def test_one_name_for_declaring_and_deleting(self, open_store: OpenStore) -> None:
        store = open_store()
        for _ in range(2):
            store.declare(QueueSpec("dotted.name"))
            self.put(store, "dotted.name", "a")
            assert bodies(self.claim(store, "dotted.name", 1)) == ["a"]
            store.delete("dotted.name")
            assert not store.exists("dotted.name")
