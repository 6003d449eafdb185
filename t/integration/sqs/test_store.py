"""The SQS store against a server that speaks AWS's protocol."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from kombu.testing.conformance.store import bodies, envelope
from kombu.transport.SQS.clients import Clients, Credentials
from kombu.transport.SQS.options import SQSOptions
from kombu.transport.SQS.store import SQSStore
from kombu.transport.virtual.errors import MessageTooLarge
from kombu.transport.virtual.store import Put, QueueSpec
from t.integration.stepped import VisibilityContract
from t.services.pool import Servers

OpenStore = Callable[..., SQSStore]


@pytest.mark.server("sqs")
class TestSQSStore(VisibilityContract):
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

    def test_a_message_too_large_is_named(self, open_store: OpenStore, queue: str) -> None:
        with pytest.raises(MessageTooLarge, match="bytes"):
            open_store().put([Put(queue, envelope("x" * 2_000_000))])

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
