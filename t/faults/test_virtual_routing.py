"""Routing in the virtual layer: topics, headers, what no queue receives, redeclaring."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from amqp.exceptions import ChannelError, NotFound, PreconditionFailed

from kombu import Exchange, Producer, Queue
from t.faults.broker import Broker


def bound(broker: Broker, channel: Any, kind: str, **keys: str) -> dict[str, str]:
    """An exchange and a queue for each key, by label; ``exchange`` is among them."""
    names = {"exchange": broker.name(kind)}
    channel.exchange_declare(names["exchange"], kind)
    for label, key in keys.items():
        names[label] = broker.name(label)
        channel.queue_declare(names[label], durable=True)
        channel.queue_bind(names[label], names["exchange"], key)
    return names


@pytest.mark.fault(2)
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a", {"after"}),
        ("b", {"before"}),
        ("a.b\n", {"after"}),
        ("a.b", {"after", "before", "one"}),
        ("ab", set()),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_topics_match_zero_or_more_whole_words(
    virtual: Broker, key: str, expected: set[str]
) -> None:
    channel = virtual.connection().channel()
    names = bound(virtual, channel, "topic", after="a.#", before="#.b", one="a.b")
    Producer(channel).publish("x", exchange=names["exchange"], routing_key=key)
    reached = {label for label in ("after", "before", "one") if channel.basic_get(names[label])}
    assert reached == expected


@pytest.mark.fault(2)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_star_is_one_word_to_its_end(virtual: Broker) -> None:
    channel = virtual.connection().channel()
    names = bound(virtual, channel, "topic", star="a.b", line="a.*")
    Producer(channel).publish("x", exchange=names["exchange"], routing_key="a.b\n")
    assert channel.basic_get(names["star"]) is None
    assert channel.basic_get(names["line"]).payload == "x"


@pytest.mark.fault(3)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_headers_exchanges_route_by_headers(memory: Broker) -> None:
    channel = memory.connection().channel()
    exchange = Exchange(memory.name("h"), "headers")
    name = memory.name()
    Queue(name, exchange, binding_arguments={"x-match": "any", "a": 1, "b": 2})(channel).declare()
    producer = Producer(channel, exchange)
    producer.publish("no", headers={"a": 2})
    producer.publish("yes", headers={"b": 2})
    assert channel.basic_get(name).payload == "yes"
    assert channel.basic_get(name) is None


@pytest.mark.fault(4)
def test_an_unrouted_mandatory_message_is_returned(virtual: Broker) -> None:
    returned: list[Any] = []
    channel = virtual.connection().channel()
    exchange = bound(virtual, channel, "direct")["exchange"]
    producer = Producer(channel, on_return=lambda *args: returned.append(args))
    producer.publish({"a": 1}, exchange=exchange, routing_key="nowhere", mandatory=True)
    [(error, from_exchange, key, message)] = returned
    assert (error.reply_code, from_exchange, key) == (312, exchange, "nowhere")
    assert message.payload == {"a": 1}


@pytest.mark.fault(5)
def test_publishing_to_an_undeclared_exchange_is_said(virtual: Broker, mode: str) -> None:
    producer = Producer(virtual.connection().channel())
    missing = virtual.name("missing")
    if mode == "strict":
        with pytest.raises(NotFound):
            producer.publish("x", exchange=missing, routing_key="k")
        return
    with pytest.warns(UserWarning, match=missing):
        producer.publish("x", exchange=missing, routing_key="k")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        producer.publish("x", exchange=missing, routing_key="k")


@pytest.mark.fault(6)
def test_an_unequal_exchange_is_a_channel_error(virtual: Broker) -> None:
    connection = virtual.connection()
    channel = connection.channel()
    exchange = bound(virtual, channel, "direct")["exchange"]
    with pytest.raises(connection.channel_errors) as caught:
        channel.exchange_declare(exchange, "topic")
    assert isinstance(caught.value, ChannelError)
    assert caught.value.reply_code == 406


@pytest.mark.fault(6)
def test_an_unequal_queue_is_said(virtual: Broker, mode: str) -> None:
    channel = virtual.connection().channel()
    name = virtual.queue(channel, arguments={"x-max-length": 5})
    again = {"durable": True, "arguments": {"x-max-length": 6}}
    if mode == "strict":
        with pytest.raises(PreconditionFailed):
            channel.queue_declare(name, **again)
    else:
        with pytest.warns(UserWarning, match=name):
            channel.queue_declare(name, **again)


@pytest.mark.fault(8)
@pytest.mark.parametrize("verb", ["queue_bind", "queue_declare", "exchange_declare"])
def test_what_is_missing_is_a_404(virtual: Broker, verb: str) -> None:
    connection = virtual.connection()
    channel = connection.channel()
    queue = virtual.queue(channel)
    missing = virtual.name("missing")
    arguments: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
        "queue_bind": ((queue, missing, "k"), {}),
        "queue_declare": ((missing,), {"passive": True}),
        "exchange_declare": ((missing,), {"passive": True}),
    }
    positional, named = arguments[verb]
    with pytest.raises(connection.channel_errors) as caught:
        getattr(channel, verb)(*positional, **named)
    assert caught.value.reply_code == 404


@pytest.mark.fault(8)
def test_deleting_what_is_missing_is_no_bare_error(virtual: Broker) -> None:
    connection = virtual.connection()
    channel = connection.channel()
    # RabbitMQ answers both with success.
    channel.exchange_delete(virtual.name("missing"))
    assert channel.queue_delete(virtual.name("missing")) in (0, None)


VERBS: list[tuple[str, tuple[Any, ...]]] = [
    ("basic_get", ("q",)),
    ("basic_publish", ({"body": "", "properties": {"delivery_info": {}}}, "", "q")),
    ("queue_declare", ("q",)),
    ("queue_delete", ("q",)),
    ("queue_purge", ("q",)),
    ("exchange_declare", ("x", "direct")),
    ("basic_ack", ("tag",)),
]


@pytest.mark.fault(8)
@pytest.mark.parametrize(("verb", "arguments"), VERBS, ids=[verb for verb, _ in VERBS])
def test_a_closed_channel_refuses(memory: Broker, verb: str, arguments: tuple[Any, ...]) -> None:
    connection = memory.connection()
    channel = connection.channel()
    channel.queue_declare("q")
    channel.close()
    with pytest.raises(connection.connection_errors + connection.channel_errors):
        getattr(channel, verb)(*arguments)
    channel.close()


@pytest.mark.fault(9)
def test_a_bound_exchange_is_not_unused(virtual: Broker) -> None:
    channel = virtual.connection().channel()
    names = bound(virtual, channel, "direct", queue="k")
    with pytest.raises(PreconditionFailed):
        channel.exchange_delete(names["exchange"], if_unused=True)
    assert channel.exchange_declare(names["exchange"], passive=True) is None


@pytest.mark.fault(9)
def test_deleting_an_exchange_leaves_its_queues(virtual: Broker) -> None:
    channel = virtual.connection().channel()
    names = bound(virtual, channel, "direct", queue="k")
    channel.exchange_delete(names["exchange"])
    assert channel.queue_declare(names["queue"], passive=True).queue == names["queue"]


@pytest.mark.fault(9)
def test_deleting_an_unbound_queue_takes_its_messages(virtual: Broker) -> None:
    channel = virtual.connection().channel()
    name = virtual.queue(channel, 1, 2)
    channel.queue_delete(name)
    channel.queue_declare(name, durable=True)
    assert channel.basic_get(name) is None
