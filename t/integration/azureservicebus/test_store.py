"""The store of Azure Service Bus against the stand-in, through the real client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from azure.servicebus import ServiceBusMessage

from kombu import Connection
from kombu.testing.conformance.store import bodies, envelope
from kombu.testing.faults import frozen
from kombu.transport.azureservicebus import Transport
from kombu.transport.azureservicebus.options import ServiceBusOptions
from kombu.transport.azureservicebus.store import ServiceBusStore
from kombu.transport.virtual.errors import MessageTooLarge
from kombu.transport.virtual.store import Put, QueueSpec
from t.integration.stepped import SteppedContract, UnorderedReturns
from t.services.pool import Servers

OpenStore = Callable[..., ServiceBusStore]


@pytest.mark.server("servicebus")
class TestServiceBusStore(UnorderedReturns, SteppedContract):
    @pytest.fixture
    def open_store(self, servers: Servers) -> OpenStore:
        environment = servers.env("servicebus")
        prefix = f"{uuid4().hex[:8]}-"

        def open_one(**options: Any) -> ServiceBusStore:
            options = {
                "queue_name_prefix": prefix,
                "peek_lock_seconds": 2,
                "wait_time_seconds": 1,
                "emulator": True,
                "connection_verify": environment["SERVICEBUS_CA"],
                **options,
            }
            url = environment["SERVICEBUS_URL"]
            store = Transport(Connection(url, transport_options=options)).create_store()
            assert isinstance(store, ServiceBusStore)
            return store

        return open_one

    def test_higher_priority_first_then_age(self, store: Any, queue: str) -> None:
        """Priority steps are queues of their own."""
        store.declare(QueueSpec(queue, arguments=self.priority_arguments))
        for number in range(4):
            super().put(store, queue, f"low-{number}", priority=0)
            super().put(store, queue, f"high-{number}", priority=9)
        order = bodies(self.claim(store, queue, 8))
        assert [text.split("-")[0] for text in order] == ["high"] * 4 + ["low"] * 4

    def test_a_delayed_message_waits_for_its_time(self, store: Any, queue: str) -> None:
        self.put(store, queue, "now")
        store.settle(acks=self.claim(store, queue, 1))  # both links are open
        super().test_a_delayed_message_waits_for_its_time(store, queue)

    def test_a_dead_owners_message_returns_after_its_lock(
        self, open_store: OpenStore, queue: str
    ) -> None:
        dead, living = open_store(), open_store()
        self.put(dead, queue, "a")
        self.claim(dead, queue, 1)
        began = time.monotonic()
        (again,) = self.claim(living, queue, 1)
        assert time.monotonic() - began < 3
        assert again.message["body"] == "a"
        assert again.redelivered

    def test_many_are_received_and_sent_together(self, open_store: OpenStore, queue: str) -> None:
        store = open_store()
        self.put(store, queue, *map(str, range(200)))
        began = time.monotonic()
        assert len(self.claim(store, queue, 200)) == 200
        assert time.monotonic() - began < 3  # a second for each five, one by one

    def test_more_than_a_transfer_takes_several(self, open_store: OpenStore, queue: str) -> None:
        store = open_store()
        self.put(store, queue, *(f"{n}{'x' * 100_000}" for n in range(5)))
        assert [body[0] for body in bodies(self.claim(store, queue, 5))] == list("01234")

    def test_a_message_too_large_is_named(self, open_store: OpenStore, queue: str) -> None:
        store = open_store()
        with pytest.raises(MessageTooLarge, match=r"\d+ bytes.*262144"):
            store.put([Put(queue, envelope("x" * 300_000))])
        assert store.size(queue) == 0

    def test_a_message_of_others(self, open_store: OpenStore, queue: str) -> None:
        store = open_store()
        name = store.service.ensure(queue)
        with store.service.client.get_queue_sender(name) as sender:
            sender.send_messages(ServiceBusMessage(b"\xffplain"))
        (claim,) = self.claim(store, queue, 1)
        assert claim.message["body"] == "\ufffdplain"
        assert claim.message["content-type"] is None

    @pytest.mark.parametrize(
        ("arguments", "buried"), [({}, 1), ({"x-dead-letter-exchange": "dead"}, 0)]
    )
    def test_what_is_rejected_goes_to_the_dead_letter_subqueue(
        self, open_store: OpenStore, arguments: dict[str, Any], buried: int
    ) -> None:
        """Unless the virtual layer has dead-lettered it."""
        store = open_store()
        store.declare(QueueSpec("q", arguments=arguments))
        self.put(store, "q", "a")
        store.settle(rejects=self.claim(store, "q", 1))
        assert store.size("q") == 0
        service = store.service
        found = service.management.get_queue_runtime_properties(service.name("q"))
        assert found.dead_letter_message_count == buried

    def test_a_delivery_tells_the_services_message(self, open_store: OpenStore, queue: str) -> None:
        store = open_store()
        self.put(store, queue, "a")
        (claim,) = self.claim(store, queue, 1)
        info = claim.message["properties"]["delivery_info"]
        assert info["azure_queue_name"] == store.service.name(queue)
        assert info["azure_message"].lock_token is not None
        store.put([Put(queue, claim.message)])  # which does not travel along
        (again,) = self.claim(store, queue, 1)
        kept = again.message["properties"]["delivery_info"]
        assert kept["exchange"] == info["exchange"]

    def test_a_queue_deleted_by_others_is_made_again(
        self, open_store: OpenStore, queue: str
    ) -> None:
        store, other = open_store(), open_store()
        self.put(store, queue, "a")
        other.delete(queue)
        self.put(store, queue, "b")
        assert bodies(self.claim(store, queue, 1)) == ["b"]

    def test_the_lock_is_that_of_the_option(self, open_store: OpenStore, queue: str) -> None:
        service = open_store().service
        properties = service.management.get_queue(service.name(queue))
        assert properties.lock_duration == timedelta(seconds=2)

    def test_what_is_given_back_often_is_not_lost(self, open_store: OpenStore, queue: str) -> None:
        """By default the service hides a message after ten deliveries."""
        store = open_store()
        self.put(store, queue, "a")
        for _ in range(12):
            store.settle(releases=self.claim(store, queue, 1))
        assert bodies(self.claim(store, queue, 1)) == ["a"]
        store.close()

    def test_a_publish_does_not_hang(
        self, servers: Servers, open_store: OpenStore, queue: str
    ) -> None:
        store, other = open_store(request_timeout=3.0, retry_total=1), f"{queue}-other"
        self.put(store, queue, "before")
        store.declare(QueueSpec(other))
        with frozen(servers.service("servicebus").procs[0]["pid"]):
            for target in (queue, other):  # by a link that is open, and by one that is not
                start = time.monotonic()
                with pytest.raises(Transport.errors.connection_errors):
                    self.put(store, target, "late")
                assert time.monotonic() - start < 10
            store.close()
            until = time.monotonic() + 10
            while any(each.name == "kombu-close" for each in threading.enumerate()):
                assert time.monotonic() < until
                time.sleep(0.01)


def test_lock_renewal_is_limited_when_it_was_asked_for() -> None:
    def max_hold(**options: Any) -> float | None:
        return ServiceBusOptions.parse(options, "azureservicebus").max_hold

    assert max_hold() is None
    assert max_hold(max_lock_renewal_duration=5) is None
    assert max_hold(use_lock_renewal=True) == 3600
    assert max_hold(use_lock_renewal=True, max_lock_renewal_duration=5) == 5
    assert max_hold(use_lock_renewal=True, max_hold=7) == 7
