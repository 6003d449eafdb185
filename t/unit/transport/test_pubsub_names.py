"""Names and filters of Pub/Sub subscriptions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.transport.gcpubsub.names import Binding, key_of, queue_filter, subscription_id
from kombu.transport.gcpubsub.subscriptions import Subscription


@pytest.mark.parametrize(
    ("queue", "name"),
    [
        ("a.b", "kombu-a-b"),
        ("a_b", "kombu-a_b"),
        ("A:b", "kombu-A_b"),
        ("celery@host.celery.pidbox", "kombu-celery_host-celery-pidbox"),
        ("kombu-there", "kombu-there"),
    ],
)
def test_names_are_those_of_published_peers(queue: str, name: str) -> None:
    assert subscription_id(queue, "kombu-") == name


def test_the_key_in_a_published_filter_is_read() -> None:
    assert key_of('attributes.routing_key="some.key"') == "some.key"
    assert key_of("") is None


@given(st.text(max_size=40))
def test_any_key_is_read_back(key: str) -> None:
    assert key_of(queue_filter("kombu-queue", key)) == key


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_binding_is_read_back(key: str, queue: str) -> None:
    binding = Binding(key, queue)
    assert Binding.read(binding.filter()) == binding
    assert key_of(binding.filter()) is None


def test_a_queue_filter_is_no_binding() -> None:
    assert Binding.read(queue_filter("kombu-queue", "key")) is None


def test_what_a_subscription_takes() -> None:
    bound = Subscription("kombu-a", "exchange", "key")
    assert bound.takes({"kombu_queue": "kombu-a"})
    assert bound.takes({"routing_key": "key"})
    assert not bound.takes({"kombu_queue": "kombu-b", "routing_key": "key"})
    assert not bound.takes({"routing_key": "other"})
    assert Subscription("kombu-a", "fanout", None).takes({})
