"""Faults of the published 5.7.0 that concern the virtual layer (numbers: known-faults)."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from typing import Any

import pytest
from amqp.exceptions import ChannelError, NotFound, PreconditionFailed, ResourceLocked

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import MessageStateError
from kombu.transport import memory, virtual
from kombu.transport.virtual.errors import ProtocolWarning
from kombu.transport.virtual.store import TopologyStore


@pytest.fixture(params=["drop-in", "strict"])
def mode(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def client(request: Any, mode: str) -> Any:
    options = {"strict": mode == "strict"}
    with Connection("memory:///faults", transport_options=options) as client:
        yield client
    memory.reset("faults")


@pytest.fixture
def channel(client: Any) -> Any:
    return client.channel()


def fill(channel: Any, queue: str, count: int) -> None:
    channel.queue_declare(queue, durable=True)
    producer = Producer(channel)
    for number in range(count):
        producer.publish(number, routing_key=queue)


def consume(channel: Any, queue: str, **options: Any) -> tuple[Any, list[Any]]:
    got: list[Any] = []
    consumer = Consumer(
        channel, [Queue(queue)], on_message=got.append, auto_declare=False, **options
    )
    consumer.consume()
    return consumer, got


def drain(client: Any, timeout: float = 0.1) -> None:
    with pytest.raises(TimeoutError):
        while True:
            client.drain_events(timeout=timeout)


# ---- 1


def test_01_two_channels_share_a_queue_each_within_its_limit(client: Any, channel: Any) -> None:
    fill(channel, "q", 8)
    _, mine = consume(channel, "q", prefetch_count=2)
    _, other = consume(client.channel(), "q", prefetch_count=3)
    drain(client)
    assert (len(mine), len(other)) == (2, 3)
    other[0].ack()
    drain(client)
    assert (len(mine), len(other)) == (2, 4)


def test_01_when_one_cancels_the_other_goes_on(client: Any, channel: Any) -> None:
    channel.queue_declare("q", durable=True)
    _, mine = consume(channel, "q")
    second, _ = consume(client.channel(), "q")
    second.cancel()
    fill(channel, "q", 1)
    drain(client)
    assert len(mine) == 1


def test_01_each_gets_its_share(client: Any, channel: Any) -> None:
    _, mine = consume(channel, fill(channel, "q", 10) or "q")
    _, other = consume(client.channel(), "q")
    drain(client)
    assert (len(mine), len(other)) == (5, 5)


# ---- 2, 3


def test_02_topics_are_amqps(channel: Any) -> None:
    channel.exchange_declare("t", "topic")
    for queue, key in (("after", "a.#"), ("before", "#.b"), ("one", "a.*")):
        channel.queue_declare(queue, durable=True)
        channel.queue_bind(queue, "t", key)
    lookup = channel._lookup
    assert set(lookup("t", "a")) == {"after"}
    assert set(lookup("t", "b")) == {"before"}
    assert set(lookup("t", "a.b\n")) == {"after", "one"}
    assert set(lookup("t", "a.b")) == {"after", "before", "one"}


def test_03_headers_exchanges_work(channel: Any) -> None:
    exchange = Exchange("h", "headers")
    Queue("q", exchange, binding_arguments={"x-match": "any", "a": 1, "b": 2})(channel).declare()
    producer = Producer(channel, exchange)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        producer.publish("no", headers={"a": 2})
    producer.publish("yes", headers={"b": 2})
    assert channel.basic_get("q").payload == "yes"
    assert channel.basic_get("q") is None


# ---- 4


def test_04_mandatory_is_returned(channel: Any) -> None:
    returned: list[Any] = []
    channel.exchange_declare("x", "direct")
    producer = Producer(channel, on_return=lambda *args: returned.append(args))
    producer.publish({"a": 1}, exchange="x", routing_key="nowhere", mandatory=True)
    [(error, exchange, key, message)] = returned
    assert isinstance(error, ChannelError)
    assert (error.reply_code, exchange, key) == (312, "x", "nowhere")
    assert message.payload == {"a": 1}


def test_04_mandatory_without_anybody_to_return_it_to_raises(channel: Any) -> None:
    channel.exchange_declare("x", "direct")
    with pytest.raises(ChannelError, match="NO_ROUTE"):
        Producer(channel).publish("x", exchange="x", routing_key="nowhere", mandatory=True)


# ---- 5, 6


def test_05_publish_to_an_undeclared_exchange(channel: Any, mode: str) -> None:
    def publish() -> None:
        Producer(channel).publish("x", exchange="missing", routing_key="k")

    if mode == "strict":
        with pytest.raises(NotFound):
            publish()
        return
    with pytest.warns(virtual.UndeliverableWarning, match=r"'missing'.*'k'"):
        publish()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        publish()


def test_06_redeclared_exchange(channel: Any) -> None:
    channel.exchange_declare("x", "direct")
    with pytest.raises(virtual.NotEquivalentError) as caught:
        channel.exchange_declare("x", "topic")
    assert isinstance(caught.value, (PreconditionFailed, ChannelError))
    assert caught.value.code == 406


def test_06_redeclared_queue(channel: Any, mode: str) -> None:
    channel.queue_declare("q", durable=True, arguments={"x-max-length": 1})
    channel.queue_declare("q", durable=True, arguments={"x-max-length": 1})
    if mode == "strict":
        with pytest.raises(PreconditionFailed):
            channel.queue_declare("q", durable=True, arguments={})
    else:
        with pytest.warns(ProtocolWarning, match="'arguments'"):
            channel.queue_declare("q", durable=True, arguments={})


# ---- 7


def test_07_multiple_acks_all_up_to_the_tag(client: Any, channel: Any) -> None:
    fill(channel, "q", 4)
    _, got = consume(channel, "q")
    drain(client)
    channel.basic_ack(got[2].delivery_tag, multiple=True)
    channel.close()
    rest = client.channel()
    assert rest.basic_get("q", no_ack=True).payload == 3
    assert rest.basic_get("q") is None


def test_07_an_unknown_tag_gives_no_credit(client: Any, channel: Any, mode: str) -> None:
    fill(channel, "q", 3)
    _, got = consume(channel, "q", prefetch_count=1)
    drain(client)
    for settle in (channel.basic_ack, channel.basic_reject):
        if mode == "strict":
            with pytest.raises(PreconditionFailed):
                settle("unknown")
        else:
            with pytest.warns(ProtocolWarning, match="unknown delivery tag 'unknown'"):
                settle("unknown")
    drain(client)
    assert len(got) == 1


def test_07_each_receipt_has_a_tag_of_its_own(client: Any, channel: Any) -> None:
    exchange = Exchange("f", "fanout")
    for name in ("one", "two"):
        Queue(name, exchange)(channel).declare()
    Producer(channel, exchange).publish("copy")
    first, second = channel.basic_get("one"), channel.basic_get("two")
    assert first.delivery_tag != second.delivery_tag
    first.ack()
    channel.close()
    assert client.channel().basic_get("one") is None
    assert client.channel().basic_get("two").payload == "copy"


# ---- 8, 9


def test_08_errors_have_amqps_codes(channel: Any) -> None:
    channel.queue_declare("q")
    with pytest.raises(NotFound):
        channel.queue_bind("q", "missing", "k")
    with pytest.raises(NotFound):
        channel.exchange_declare("missing", passive=True)
    with pytest.raises(NotFound):
        channel.queue_declare("missing", passive=True)
    channel.exchange_delete("missing")  # as RabbitMQ


def test_08_a_closed_channel_refuses_every_verb(client: Any, channel: Any) -> None:
    channel.queue_declare("q")
    channel.close()
    errors = client.connection_errors + client.channel_errors
    verbs: list[tuple[str, tuple[Any, ...]]] = [
        ("basic_get", ("q",)),
        ("queue_declare", ("q",)),
        ("queue_delete", ("q",)),
        ("queue_purge", ("q",)),
        ("queue_bind", ("q", "x")),
        ("exchange_declare", ("x",)),
        ("exchange_delete", ("x",)),
        ("basic_qos", (0, 1)),
        ("basic_consume", ("q", True, print, "tag")),
        ("basic_ack", ("tag",)),
        ("basic_publish", ({}, "", "q")),
        ("flow", (True,)),
    ]
    for verb, args in verbs:
        with pytest.raises(errors):
            getattr(channel, verb)(*args)
    channel.close()


def test_09_if_unused_and_if_empty(client: Any, channel: Any) -> None:
    Queue("q", Exchange("x"), routing_key="k")(channel).declare()
    with pytest.raises(PreconditionFailed):
        channel.exchange_delete("x", if_unused=True)
    channel.exchange_delete("x")
    assert channel.queue_declare("q", passive=True).queue == "q"
    fill(channel, "q", 1)
    with pytest.raises(PreconditionFailed):
        channel.queue_delete("q", if_empty=True)
    consumer, _ = consume(channel, "q")
    with pytest.raises(PreconditionFailed):
        channel.queue_delete("q", if_unused=True)
    consumer.cancel()
    assert channel.queue_delete("q") == 1


def test_09_deleting_an_unbound_queue_takes_its_messages(channel: Any) -> None:
    fill(channel, "q", 2)
    channel.queue_delete("q")
    channel.queue_declare("q")
    assert channel.basic_get("q") is None


# ---- 10, 29, 40


def test_10_restored_messages_come_back_at_the_head_in_order(client: Any, channel: Any) -> None:
    fill(channel, "q", 4)
    held = [channel.basic_get("q") for _ in range(3)]
    assert len(held) == 3
    channel.close()
    other = client.channel()
    assert [other.basic_get("q", no_ack=True).payload for _ in range(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize("how", ["requeue", "recover"])
def test_29_requeued_messages_come_back_at_the_head(channel: Any, how: str) -> None:
    fill(channel, "q", 3)
    messages = [channel.basic_get("q"), channel.basic_get("q")]
    if how == "recover":
        channel.basic_recover(requeue=True)
    else:
        for message in messages:
            message.requeue()
    again = [channel.basic_get("q", no_ack=True) for _ in range(3)]
    assert [message.payload for message in again] == [0, 1, 2]
    assert [bool(m.delivery_info.get("redelivered")) for m in again] == [True, True, False]


def test_40_reset_leaves_nothing(channel: Any) -> None:
    Queue("q", Exchange("x"))(channel).declare()
    fill(channel, "q", 2)
    memory.reset("faults")
    assert channel.get_exchanges() == []
    with pytest.raises(NotFound):
        channel.queue_declare("q", passive=True)


def test_40_exclusive_queues_go_with_their_connection(channel: Any, mode: str) -> None:
    owner = Connection("memory:///faults", transport_options={"strict": mode == "strict"})
    owner.channel().queue_declare("mine", exclusive=True)
    for verb in (channel.queue_declare, channel.basic_get, channel.queue_delete):
        with pytest.raises(ResourceLocked):
            verb("mine")
    owner.close()
    with pytest.raises(NotFound):
        channel.queue_declare("mine", passive=True)


# ---- 15, 21, 24


def test_15_brokers_share_nothing_but_their_name(channel: Any) -> None:
    fill(channel, "q", 1)
    with Connection("memory:///another") as other:
        assert other.channel().queue_declare("q", durable=True).message_count == 0
        Queue("q", Exchange("x", "fanout"))(other.channel()).declare()
    channel.exchange_declare("x", "direct")
    assert channel.basic_get("q").payload == 0
    memory.reset("another")


def test_21_a_callbacks_own_error_is_not_a_lost_connection(client: Any, channel: Any) -> None:
    fill(channel, "q", 1)

    def callback(message: Any) -> None:
        raise KeyError("of the user")

    Consumer(channel, [Queue("q")], on_message=callback, auto_declare=False).consume()
    with pytest.raises(KeyError, match="of the user") as caught:
        client.drain_events(timeout=1)
    assert not isinstance(caught.value, client.connection_errors + client.channel_errors)
    overlap = set(client.connection_errors) & set(client.channel_errors)
    assert not overlap


def test_24_an_idle_consumer_is_woken(client: Any, channel: Any) -> None:
    import threading

    arrived: list[float] = []
    channel.queue_declare("q")
    consumer = Consumer(channel, [Queue("q")], no_ack=True, auto_declare=False)
    consumer.on_message = lambda m: arrived.append(time.perf_counter() - m.payload)
    consumer.consume()
    with Connection("memory:///faults") as publisher:
        producer = Producer(publisher)
        for _ in range(21):
            timer = threading.Timer(
                0.005, lambda: producer.publish(time.perf_counter(), routing_key="q")
            )
            timer.start()
            client.drain_events(timeout=5)
            timer.join()
    assert sorted(arrived)[10] < 0.007


def test_24_waiting_costs_no_processor_time(client: Any, channel: Any) -> None:
    channel.queue_declare("q")
    consume(channel, "q")
    before = time.thread_time()
    drain(client, 0.5)
    assert time.thread_time() - before < 0.02


# ---- 26, 37


def test_26_using_it_patches_nothing() -> None:
    code = (
        "import threading, socket\n"
        "before = (threading.Lock, socket.socket)\n"
        "import kombu\n"
        "kombu.Connection('memory://').channel().close()\n"
        "assert before == (threading.Lock, socket.socket)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_37_lost_bindings_are_said(channel: Any) -> None:
    Queue("q", Exchange("x"), routing_key="k")(channel).declare()
    channel.queue_unbind("q", "x", "k")
    with pytest.raises(ChannelError, match="NO_ROUTE"):
        Producer(channel).publish("x", exchange="x", routing_key="k", mandatory=True)


def test_37_bindings_lost_by_the_backend_are_warned_of(
    channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Emptied(TopologyStore):
        """A backend that dropped its keys."""

        def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None: ...

        def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None: ...

        def bindings(self, exchange: str) -> list[tuple[str, str, str]]:
            return []

    Queue("q", Exchange("x"), routing_key="k")(channel).declare()
    monkeypatch.setattr(channel.topology, "shared", Emptied())
    with pytest.warns(virtual.UndeliverableWarning, match="'x'.*'k'"):
        Producer(channel).publish("x", exchange="x", routing_key="k")


@pytest.mark.parametrize("type", ["direct", "topic", "fanout"])
def test_05_an_exchange_nobody_listens_to_is_no_fault(channel: Any, type: str) -> None:
    Exchange("x", type)(channel).declare()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Producer(channel).publish("x", exchange="x", routing_key="k")


# ---- bad input


def test_what_is_no_message_is_set_aside(client: Any, channel: Any) -> None:
    channel.queue_declare("q", durable=True)
    channel._put("q", {"body": "no properties", "headers": {}})
    fill(channel, "q", 1)
    _, got = consume(channel, "q")
    drain(client)
    assert [message.payload for message in got] == [0]
    assert channel._size("q.undecodable") == 1


def test_settled_twice_says_so(channel: Any) -> None:
    fill(channel, "q", 1)
    message = channel.basic_get("q")
    message.ack()
    with pytest.raises(MessageStateError):
        message.ack()


def test_a_queue_that_another_process_may_use_never_goes_by_itself(tmp_path: Any) -> None:
    # Two connections to a shared store know of each other's consumers no more than two processes.
    url = f"sqla+sqlite:///{tmp_path}/queues.db"
    queue = Queue("q", Exchange("x"), "q", expires=0.05)
    with Connection(url) as publishing, Connection(url) as consuming:
        queue(publishing.default_channel).declare()
        producer = publishing.Producer()
        producer.publish("waits", exchange="x", routing_key="q")
        got: list[Any] = []
        with consuming.Consumer(queue, callbacks=[lambda body, _: got.append(body)], no_ack=True):
            time.sleep(0.06)
            producer.publish("follows", exchange="x", routing_key="q")
            time.sleep(0.06)
            producer.publish("declares", exchange="x", routing_key="q", declare=[queue])
            while len(got) < 3:
                consuming.drain_events(timeout=5)
        assert got == ["waits", "follows", "declares"]
