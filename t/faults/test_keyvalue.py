"""Brokers in key-value servers."""

from __future__ import annotations

import pytest

from kombu import Queue
from t.faults.broker import Broker, consume, die_holding, drain, payloads


@pytest.mark.fault(13)
def test_what_a_consumer_killed_beside_a_key_value_server_held_comes_back(
    keyvalue: Broker,
) -> None:
    client = keyvalue.connection()
    channel = client.channel()
    name = keyvalue.queue(channel, "x")
    die_holding(keyvalue, name)
    _, got = consume(channel, name)
    drain(client, lambda: got, limit=20)
    assert payloads(got) == ["x"]


@pytest.mark.fault(25)
def test_a_key_value_servers_messages_come_in_order(keyvalue: Broker) -> None:
    client = keyvalue.connection()
    channel = client.channel()
    name = keyvalue.queue(channel, *range(5))
    _, got = consume(channel, name)
    drain(client, lambda: len(got) >= 5, limit=50)
    assert payloads(got) == list(range(5))


@pytest.mark.fault(19)
def test_a_key_value_servers_queue_is_purged(keyvalue: Broker) -> None:
    channel = keyvalue.connection().channel()
    name = keyvalue.queue(channel, *range(3))
    assert Queue(name)(channel).purge() == 3
    assert channel.queue_declare(name, passive=True).message_count == 0
