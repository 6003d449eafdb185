"""Consuming, acknowledging and giving back in the virtual layer."""

from __future__ import annotations

from typing import Any

import pytest
from amqp.exceptions import PreconditionFailed

from kombu import Consumer, Exchange, Producer, Queue
from t.faults.broker import Broker, consume, drain, payloads, take

# ---- two consumers of one queue


@pytest.mark.fault(1)
def test_two_channels_share_a_queue_each_within_its_limit(virtual: Broker) -> None:
    client = virtual.connection()
    channel = client.channel()
    name = virtual.queue(channel, *range(8))
    _, mine = consume(channel, name, prefetch_count=2)
    _, other = consume(client.channel(), name, prefetch_count=3)
    drain(client)
    assert (len(mine), len(other)) == (2, 3)
    other[0].ack()
    drain(client, lambda: len(other) == 4)
    drain(client)
    assert (len(mine), len(other)) == (2, 4)


@pytest.mark.fault(1)
def test_when_one_consumer_cancels_the_other_goes_on(virtual: Broker) -> None:
    client = virtual.connection()
    channel = client.channel()
    name = virtual.queue(channel)
    _, mine = consume(channel, name)
    second, _ = consume(client.channel(), name)
    second.cancel()
    virtual.put(channel, name, "x")
    drain(client, lambda: mine)
    assert payloads(mine) == ["x"]


@pytest.mark.fault(1)
def test_two_consumers_each_get_their_share(virtual: Broker) -> None:
    client = virtual.connection()
    channel = client.channel()
    name = virtual.queue(channel, *range(10))
    _, mine = consume(channel, name, prefetch_count=5)
    _, other = consume(client.channel(), name, prefetch_count=5)
    drain(client)
    assert (len(mine), len(other)) == (5, 5)


# ---- acknowledging


@pytest.mark.fault(7)
def test_multiple_acks_all_up_to_the_tag(virtual: Broker) -> None:
    client = virtual.connection()
    channel = client.channel()
    name = virtual.queue(channel, *range(4))
    _, got = consume(channel, name)
    drain(client, lambda: len(got) == 4)
    channel.basic_ack(got[2].delivery_tag, multiple=True)
    channel.close()
    rest = virtual.connection().channel()
    assert payloads(take(rest, name, 1)) == [3]
    assert rest.basic_get(name) is None


@pytest.mark.fault(7)
@pytest.mark.parametrize("verb", ["basic_ack", "basic_reject"])
def test_an_unknown_tag_is_said_and_gives_no_credit(virtual: Broker, mode: str, verb: str) -> None:
    client = virtual.connection()
    channel = client.channel()
    name = virtual.queue(channel, *range(3))
    _, got = consume(channel, name, prefetch_count=1)
    drain(client, lambda: got)
    if mode == "strict":
        with pytest.raises(PreconditionFailed):
            getattr(channel, verb)("unknown")
    else:
        with pytest.warns(UserWarning, match="unknown"):
            getattr(channel, verb)("unknown")
    drain(client)
    assert len(got) == 1


@pytest.mark.fault(7)
def test_each_receipt_has_a_tag_of_its_own(virtual: Broker) -> None:
    channel = virtual.connection().channel()
    exchange = Exchange(virtual.name("d"), "direct")
    names = [virtual.name(), virtual.name()]
    for name in names:
        Queue(name, exchange, routing_key="k")(channel).declare()
    Producer(channel, exchange).publish("copy", routing_key="k")
    first, second = (channel.basic_get(name) for name in names)
    assert first.delivery_tag != second.delivery_tag
    first.ack()
    channel.close()
    later = virtual.connection().channel()
    assert later.basic_get(names[0]) is None
    assert payloads(take(later, names[1], 1)) == ["copy"]


# ---- giving back


@pytest.mark.fault(10)
def test_restored_messages_come_back_in_order_at_the_head(virtual: Broker) -> None:
    client = virtual.connection()
    channel = client.channel()
    name = virtual.queue(channel, *range(5))
    assert payloads(take(channel, name, 3)) == [0, 1, 2]
    channel.close()
    assert payloads(take(virtual.connection().channel(), name, 5)) == [0, 1, 2, 3, 4]


@pytest.mark.fault(29)
def test_requeued_messages_come_back_at_the_head(virtual: Broker) -> None:
    channel = virtual.connection().channel()
    name = virtual.queue(channel, *range(4))
    for message in take(channel, name, 2):
        message.requeue()
    again = take(channel, name, 4)
    assert payloads(again) == [0, 1, 2, 3]


@pytest.mark.fault(29)
def test_recovered_messages_come_back_at_the_head(virtual: Broker) -> None:
    channel = virtual.connection().channel()
    name = virtual.queue(channel, *range(4))
    assert payloads(take(channel, name, 2)) == [0, 1]
    channel.basic_recover(requeue=True)
    assert payloads(take(channel, name, 4)) == [0, 1, 2, 3]


# ---- the errors of callbacks


@pytest.mark.fault(21)
@pytest.mark.parametrize("error", [KeyError, IndexError, ValueError, AttributeError])
def test_a_callbacks_own_error_is_no_lost_connection(
    virtual: Broker, error: type[Exception]
) -> None:
    # Red there on Redis with KeyError.
    client = virtual.connection()
    channel = client.channel()
    name = virtual.queue(channel, 1)

    def callback(message: Any) -> None:
        raise error("of the user")

    Consumer(channel, [Queue(name)], on_message=callback, auto_declare=False).consume()
    with pytest.raises(error, match="of the user") as caught:
        drain(client, lambda: False)
    assert not isinstance(caught.value, client.connection_errors + client.channel_errors)


@pytest.mark.fault(21)
def test_no_error_is_of_the_connection_and_of_the_channel(virtual: Broker) -> None:
    # Green there on these; test_errors.py has the transports where it is red.
    client = virtual.connection()
    assert not set(client.connection_errors) & set(client.channel_errors)
