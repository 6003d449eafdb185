"""Channels of third parties, written against the classic hooks, run unmodified."""

from __future__ import annotations

from collections import defaultdict, deque
from queue import Empty
from typing import Any

import pytest

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import DecodeError
from kombu.transport import virtual


class PollingChannel(virtual.Channel):
    """The least a channel can be."""

    def _lists(self) -> Any:
        return self.connection.client.lists

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        self._lists()[queue].append(message)

    def _get(self, queue: str) -> Any:
        try:
            return self._lists()[queue].popleft()
        except IndexError:
            raise Empty() from None

    def _size(self, queue: str) -> int:
        return len(self._lists()[queue])

    def _purge(self, queue: str) -> int:
        size = len(self._lists()[queue])
        self._lists()[queue].clear()
        return size


class ManyChannel(PollingChannel):
    """Delivers by itself, several at once."""

    def _get_many(self, queues: list[str], timeout: float | None = None) -> None:
        self.connection.client.asked.append((tuple(queues), timeout))
        delivered = 0
        for queue in queues:
            for _ in range(2):
                try:
                    message = self._get(queue)
                except Empty:
                    break
                self.connection._deliver(message, queue)
                delivered += 1
        if not delivered:
            raise Empty()


class FanoutChannel(PollingChannel):
    """Keeps its bindings itself, and has publish/subscribe of its own."""

    supports_fanout = True

    def _tables(self) -> Any:
        return self.connection.client.tables

    def _queue_bind(self, exchange: str, routing_key: str, pattern: Any, queue: str) -> None:
        self._tables()[exchange].append((routing_key, pattern, queue))

    def get_table(self, exchange: str) -> Any:
        return self._tables()[exchange]

    def _put_fanout(self, exchange: str, message: Any, routing_key: str, **kwargs: Any) -> None:
        self.connection.client.fanned.append((exchange, routing_key))
        for _, _, queue in self.get_table(exchange):
            self._put(queue, message)


def connection(channel: Any, **options: Any) -> Any:
    class Transport(virtual.Transport):
        Channel = channel
        polling_interval = 0.01

    client = Connection(transport=Transport, transport_options=options)
    client.lists = defaultdict(deque)
    client.tables = defaultdict(list)
    client.fanned = []
    client.asked = []
    return client


@pytest.fixture(params=[PollingChannel, ManyChannel, FanoutChannel])
def client(request: Any) -> Any:
    with connection(request.param) as client:
        yield client


def received(client: Any, queue: Queue, count: int, **options: Any) -> list[Any]:
    messages: list[Any] = []
    with Consumer(client, [queue], on_message=messages.append, **options):
        while len(messages) < count:
            client.drain_events(timeout=2)
    return messages


@pytest.mark.parametrize(("type", "key"), [("direct", "k"), ("topic", "k.#"), ("fanout", "")])
def test_through_every_type(client: Any, type: str, key: str) -> None:
    exchange = Exchange(f"x-{type}", type)
    queue = Queue(f"q-{type}", exchange, routing_key=key)
    queue(client).declare()
    producer = Producer(client)
    for number in range(5):
        producer.publish({"n": number}, exchange=exchange, routing_key="k", serializer="json")
    messages = received(client, queue, 5)
    assert [message.payload["n"] for message in messages] == list(range(5))
    for message in messages:
        message.ack()


def test_get_requeue_reject_purge(client: Any) -> None:
    queue = Queue("q")(client)
    queue.queue_declare()
    producer = Producer(client)
    producer.publish("one", routing_key="q")
    message = queue.get()
    assert message.payload == "one"
    message.requeue()
    again = queue.get()
    assert again.payload == "one"
    assert again._raw["redelivered"] is True
    again.reject()
    assert queue.get() is None
    producer.publish("two", routing_key="q")
    assert queue.queue_declare(passive=True).message_count == 1
    assert queue.purge() == 1


def test_a_damaged_body_goes_back_as_it_was(client: Any) -> None:
    Queue("q")(client).declare()
    damaged = {"headers": {"compression": "gzip"}, "content_type": "application/json"}
    Producer(client).publish(b"damaged", routing_key="q", content_encoding="utf-8", **damaged)
    for _ in range(2):
        message = client.default_channel.basic_get("q")
        with pytest.raises(DecodeError, match=r"could not be decompressed \(gzip\)"):
            message.decode()
        message.requeue()


def test_closing_puts_unacknowledged_messages_back_in_order(client: Any) -> None:
    producer = Producer(client)
    channel = client.channel()
    queue = Queue("q")
    for number in range(3):
        producer.publish(number, routing_key="q")
    messages: list[Any] = []
    Consumer(channel, [queue], on_message=messages.append).consume()
    while len(messages) < 3:
        client.drain_events(timeout=2)
    channel.close()
    assert [message.payload for message in received(client, queue, 3, no_ack=True)] == [0, 1, 2]


def test_prefetch_is_heeded_while_polling() -> None:
    with connection(PollingChannel) as client:
        for number in range(3):
            Producer(client).publish(number, routing_key="q")
        messages: list[Any] = []
        consumer = Consumer(client, [Queue("q")], on_message=messages.append, prefetch_count=2)
        consumer.consume()
        with pytest.raises(TimeoutError):
            while True:
                client.drain_events(timeout=0.05)
        assert len(messages) == 2
        messages[0].ack()
        client.drain_events(timeout=2)
        assert len(messages) == 3


def test_get_many_gets_the_queues_and_the_time_that_is_left() -> None:
    with connection(ManyChannel) as client:
        consumer = Consumer(client, [Queue("a"), Queue("b")], on_message=lambda message: None)
        consumer.consume()
        with pytest.raises(TimeoutError):
            client.drain_events(timeout=0.05)
        queues, timeout = client.asked[0]
        assert queues == ("a", "b")
        assert 0 < timeout <= 0.05


def test_fanout_goes_through_the_hook() -> None:
    with connection(FanoutChannel) as client:
        exchange = Exchange("fan", "fanout")
        for name in ("one", "two"):
            Queue(name, exchange)(client).declare()
        Producer(client).publish("x", exchange=exchange, routing_key="key")
        assert client.fanned == [("fan", "key")]
        assert [len(client.lists[name]) for name in ("one", "two")] == [1, 1]


def test_put_sees_every_message_and_the_publishers_arguments() -> None:
    seen: list[Any] = []

    class Channel(PollingChannel):
        def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
            seen.append((queue, kwargs.get("mandatory")))
            super()._put(queue, message, **kwargs)

    with connection(Channel) as client:
        exchange = Exchange("x", "fanout")
        for name in ("one", "two"):
            Queue(name, exchange)(client).declare()
        Producer(client).publish("m", exchange=exchange, mandatory=True)
        assert sorted(seen) == [("one", True), ("two", True)]


def test_an_in_tree_channels_put_can_be_overridden_too() -> None:
    from kombu.transport import memory

    seen: list[str] = []

    class Channel(memory.Channel):
        def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
            seen.append(queue)
            super()._put(queue, message, **kwargs)

        def _get(self, queue: str) -> Any:
            message = super()._get(queue)
            message["headers"]["seen"] = True
            return message

    class Transport(memory.Transport):
        pass

    Transport.Channel = Channel
    with Connection(transport=Transport, virtual_host="overridden") as client:
        queue = Queue("q")
        Producer(client).publish("x", routing_key="q")
        assert seen == ["q"]
        [message] = received(client, queue, 1)
        assert message.headers["seen"]
        message.requeue()
        assert queue(client).get(no_ack=True).headers["seen"]


def test_classes_replaced_at_run_time_are_used(monkeypatch: Any) -> None:
    class Message(virtual.Message):
        pass

    class QoS(virtual.QoS):
        pass

    monkeypatch.setattr(PollingChannel, "Message", Message)
    monkeypatch.setattr(PollingChannel, "QoS", QoS)
    with connection(PollingChannel) as client:
        channel = client.channel()
        assert type(channel.qos) is QoS
        Producer(channel).publish("x", routing_key="q")
        assert type(channel.basic_get("q")) is Message


def test_a_custom_exchange_type_is_asked() -> None:
    class Shortest(virtual.base.STANDARD_EXCHANGE_TYPES["direct"]):  # type: ignore[name-defined,misc]
        type = "shortest"

        def lookup(self, table: Any, exchange: str, routing_key: str, default: Any) -> Any:
            return [min((queue for _, _, queue in table), key=len)]

    class Channel(PollingChannel):
        exchange_types = {**virtual.Channel.exchange_types, "shortest": Shortest}

    with connection(Channel) as client:
        exchange = Exchange("x", "shortest")
        for name in ("long", "s"):
            Queue(name, exchange, routing_key=name)(client).declare()
        Producer(client).publish("m", exchange=exchange, routing_key="long")
        assert len(client.lists["s"]) == 1
        assert len(client.lists["long"]) == 0


def test_options_become_attributes() -> None:
    class Channel(PollingChannel):
        from_transport_options = (*virtual.Channel.from_transport_options, "colour")
        colour = "red"

    with connection(Channel, colour="blue", deadletter_queue="dead") as client:
        channel = client.channel()
        assert channel.colour == "blue"
        assert channel.deadletter_queue == "dead"
        assert Channel.colour == "red"
        channel.exchange_declare("x")
        with pytest.warns(virtual.UndeliverableWarning):
            Producer(channel).publish("lost?", exchange="x", routing_key="nowhere")
        assert channel.basic_get("dead").payload == "lost?"


def test_a_channel_without_hooks_says_so() -> None:
    with connection(virtual.Channel) as client:
        channel = client.channel()
        for hook, args in (("_get", ("q",)), ("_put", ("q", {})), ("_purge", ("q",))):
            with pytest.raises(NotImplementedError, match=hook):
                getattr(channel, hook)(*args)
        assert channel._size("q") == 0
        assert channel._has_queue("q") is True
        assert channel._new_queue("q") is None
