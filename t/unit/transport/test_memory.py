"""The in-memory transport: what is its own."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import BatchPublishError
from kombu.testing.conformance.store import StoreContract
from kombu.transport import memory
from kombu.transport.base import Publish
from kombu.transport.memory import MemoryBroker, MemoryStore
from kombu.transport.memory.broker import Item
from kombu.transport.virtual.store import PartialPutError, Put, QueueFull, QueueSpec

URL = "memory:///memory-tests"


class TestStore(StoreContract):
    @pytest.fixture
    def open_store(self) -> Any:
        broker = MemoryBroker("contract")
        return lambda: MemoryStore(broker)


@pytest.fixture
def client() -> Iterator[Any]:
    with Connection(URL) as client:
        yield client
    memory.reset("memory-tests")


@pytest.fixture
def channel(client: Any) -> Any:
    return client.channel()


def envelope(text: str = "x") -> dict[str, Any]:
    return {"body": text, "headers": {}, "properties": {"body_encoding": None}}


def test_a_batch_says_which_did_not_fit() -> None:
    store = MemoryStore(MemoryBroker("b"))
    store.declare(QueueSpec("q", arguments={"x-max-length": 2, "x-overflow": "reject-publish"}))
    with pytest.raises(PartialPutError) as caught:
        store.put([Put("q", envelope(str(number))) for number in range(4)])
    assert sorted(caught.value.failed) == [2, 3]
    assert store.size("q") == 2
    with pytest.raises(QueueFull):
        store.put([Put("q", envelope())])


def test_a_released_message_keeps_its_deadline() -> None:
    store = MemoryStore(MemoryBroker("b"))
    store.put([Put("q", envelope(), expires_at=time.time() + 0.05)])
    [claim] = store.claim(["q"], 1)
    store.settle(releases=[claim])
    assert store.size("q") == 1
    assert store.wait(["other"], 1.0)  # woken by what expired
    [discard] = store.sweep(10)
    assert discard.reason == "expired"
    assert store.size("q") == 0


def test_a_failed_channel_puts_nothing_after_close(client: Any) -> None:
    store = client.default_channel.store
    client.close()
    with pytest.raises(client.connection_errors):
        store.put([Put("q", envelope())])


def test_priorities_then_age(client: Any, channel: Any) -> None:
    producer = Producer(channel)
    for number, priority in enumerate([0, 9, 5, 9, None, 200]):
        producer.publish(number, routing_key="q", priority=priority)
    order = [channel.basic_get("q", no_ack=True).payload for _ in range(6)]
    assert order == [1, 3, 5, 2, 0, 4]


def test_expired_messages_die_without_any_consumer(channel: Any) -> None:
    Queue("dead", Exchange("dlx"), routing_key="k")(channel).declare()
    arguments = {"x-dead-letter-exchange": "dlx", "x-dead-letter-routing-key": "k"}
    Queue("waiting", queue_arguments=arguments, message_ttl=0.05)(channel).queue_declare()
    Producer(channel).publish("retry me", routing_key="waiting")
    got: list[Any] = []
    Consumer(
        channel, [Queue("dead", Exchange("dlx"), routing_key="k")], on_message=got.append
    ).consume()
    start = time.monotonic()
    channel.connection.drain_events(channel.connection, timeout=5)
    assert time.monotonic() - start < 1
    assert got[0].headers["x-death"][0]["reason"] == "expired"


def test_a_cycle_of_expiries_ends(channel: Any) -> None:
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "loop"}
    Queue("loop", queue_arguments=arguments, message_ttl=0.01)(channel).queue_declare()
    Producer(channel).publish("round and round", routing_key="loop")
    time.sleep(0.03)
    assert channel.basic_get("loop") is None
    assert channel._size("loop") == 0


def test_delivery_limit(channel: Any) -> None:
    Queue("dead")(channel).queue_declare()
    arguments = {
        "x-delivery-limit": 2,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "dead",
    }
    Queue("q", queue_arguments=arguments)(channel).queue_declare()
    Producer(channel).publish("poison", routing_key="q")
    for _ in range(3):
        channel.basic_get("q").requeue()
    assert channel.basic_get("q") is None
    dead = channel.basic_get("dead")
    assert dead.headers["x-death"][0]["reason"] == "delivery_limit"


def test_single_active_consumer(client: Any, channel: Any) -> None:
    queue = Queue("q", queue_arguments={"x-single-active-consumer": True})
    queue(channel).queue_declare()
    one: list[Any] = []
    two: list[Any] = []
    first = Consumer(channel, [queue], on_message=one.append)
    first.consume()
    Consumer(client.channel(), [queue], on_message=two.append).consume()
    for number in range(4):
        Producer(channel).publish(number, routing_key="q")
        client.drain_events(timeout=1)
        if number == 1:
            first.cancel()
    assert [message.payload for message in one] == [0, 1]
    assert [message.payload for message in two] == [2, 3]


def test_exchange_bindings_and_alternates_do_not_loop(channel: Any) -> None:
    for name in ("a", "b"):
        channel.exchange_declare(name, "fanout")
    channel.exchange_bind("b", "a")
    channel.exchange_bind("a", "b")
    channel.exchange_declare("alt", "fanout")
    channel.exchange_declare("main", "direct", arguments={"alternate-exchange": "alt"})
    for queue, exchange in (("q", "b"), ("q", "a"), ("rest", "alt")):
        channel.queue_declare(queue)
        channel.queue_bind(queue, exchange)
    assert list(channel._lookup("a", "")) == ["q"]
    assert list(channel._lookup("main", "nowhere")) == ["rest"]


def test_confirms_tell_of_a_full_queue() -> None:
    from amqp.exceptions import MessageNacked

    arguments = {"x-overflow": "reject-publish"}
    with Connection(URL, transport_options={"confirm_publish": True}) as client:
        channel = client.channel()
        Queue("full", queue_arguments=arguments, max_length=1)(channel).queue_declare()
        producer = Producer(channel)
        producer.publish(1, routing_key="full")
        with pytest.raises(MessageNacked, match="full"):
            producer.publish(2, routing_key="full")
        publishes = [
            Publish(channel.prepare_message("x"), "", queue, {}) for queue in ("other", "full")
        ]
        with pytest.raises(BatchPublishError) as caught:
            channel.basic_publish_many(publishes)
        assert list(caught.value.failed) == [1]
        assert channel._size("other") == 1
    memory.reset("memory-tests")


def test_prefetch_of_each_consumer_as_rabbitmq() -> None:
    with Connection(URL, transport_options={"qos_semantics": "consumer"}) as client:
        channel = client.channel()
        for queue in ("a", "b"):
            for number in range(4):
                Producer(channel).publish(number, routing_key=queue)
        got: list[Any] = []
        queues = [Queue("a"), Queue("b")]
        consumer = Consumer(channel, queues, on_message=got.append, auto_declare=False)
        consumer.qos(prefetch_count=1)
        consumer.consume()
        with pytest.raises(TimeoutError):
            while True:
                client.drain_events(timeout=0.05)
        assert len(got) == 2
        consumer.qos(prefetch_count=1, apply_global=True)
        got[0].ack()
        with pytest.raises(TimeoutError):
            client.drain_events(timeout=0.05)
    memory.reset("memory-tests")


def test_sixteen_threads_publish_on_one_channel_and_others_acknowledge(
    client: Any, channel: Any
) -> None:
    channel.queue_declare("q")

    def publish(number: int) -> None:
        for count in range(50):
            message = channel.prepare_message(
                str(number * 100 + count), content_type="text/plain", content_encoding="utf-8"
            )
            channel.basic_publish(message, "", "q")

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(16)]
    seen: list[str] = []
    ackers: list[threading.Thread] = []

    def on_message(message: Any) -> None:
        seen.append(message.payload)
        acker = threading.Thread(target=message.ack)
        acker.start()
        ackers.append(acker)

    with Connection(URL) as consuming:
        consumer = Consumer(
            consuming.channel(), [Queue("q")], on_message=on_message, auto_declare=False
        )
        consumer.qos(prefetch_count=7)
        consumer.consume()
        for thread in threads:
            thread.start()
        while len(seen) < 800:
            consuming.drain_events(timeout=10)
        for thread in (*threads, *ackers):
            thread.join(10)
    assert len(set(seen)) == 800
    assert channel._size("q") == 0


def test_a_closed_connection_wakes_its_drain(client: Any, channel: Any) -> None:
    channel.queue_declare("q")
    Consumer(channel, [Queue("q")], on_message=print, auto_declare=False).consume()
    errors = client.connection_errors + client.channel_errors
    threading.Timer(0.05, channel.connection.close_connection, (channel.connection,)).start()
    start = time.monotonic()
    with pytest.raises(errors):
        channel.connection.drain_events(channel.connection, timeout=20)
    assert time.monotonic() - start < 10


def test_names_of_57(channel: Any) -> None:
    Producer(channel).publish("x", routing_key="q")
    assert channel.queues["q"].qsize() == 1
    assert channel.queues["q"].queue[0]["properties"]["delivery_info"]["routing_key"] == "q"
    Connection("memory://").channel().exchange_declare("in-the-default-one")
    assert "in-the-default-one" in memory.Transport.global_state.exchanges
    memory.reset("/")
    assert memory.Transport.global_state.exchanges == {}


def test_hosts_name_the_same_broker_virtual_hosts_do_not() -> None:
    with Connection("memory://one//v1") as one, Connection("memory://two//v1") as two:
        Producer(one).publish("x", routing_key="q")
        assert two.channel().basic_get("q").payload == "x"
    with Connection("memory://one//v2") as other:
        assert other.channel().basic_get("q") is None
    memory.reset()


def test_a_misspelt_option_is_pointed_out() -> None:
    with pytest.warns(UserWarning, match="did you mean 'strict'"):
        Connection("memory://", transport_options={"strct": True}).connect()


def test_x_expires_deletes_an_unused_queue(channel: Any) -> None:
    Queue("brief", expires=0.05)(channel).queue_declare()
    time.sleep(0.08)
    with pytest.raises(channel.connection.channel_errors):
        channel.queue_declare("brief", passive=True)


def test_38_what_comes_after_a_queue_expired_is_not_kept_for_ever(channel: Any) -> None:
    Queue("reply", Exchange("replies"), routing_key="oid", expires=0.05)(channel).declare()
    time.sleep(0.08)
    producer = Producer(channel)
    producer.publish("late", exchange="replies", routing_key="oid")
    producer.publish("later", exchange="replies", routing_key="oid")
    assert channel._size("reply") == 0
    assert not channel._has_queue("reply")


def test_2000_topic_bindings_are_no_burden(channel: Any) -> None:
    channel.exchange_declare("t", "topic")
    for number in range(2000):
        channel.queue_declare(f"q{number}")
        channel.queue_bind(f"q{number}", "t", f"stock.{number}.#")
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(1000):
            message = channel.prepare_message("x")
            channel.basic_publish(message, "t", f"stock.{number}.x")
    assert time.process_time() - start < 0.5


def test_clearing_the_queues_of_the_class_drops_what_waits() -> None:
    with Connection("memory:///cleared") as connection:
        queue = connection.SimpleQueue("cleared")
        queue.put("old")
        memory.Channel.queues.clear()
        assert queue.qsize() == 0
        queue.put("new")
        assert queue.get(timeout=1).payload == "new"


def test_a_finalizer_closes_a_connection_in_the_midst_of_another_ones_call() -> None:
    class Owner:
        """Closes its connection when it is collected, as pools of applications do."""

        def __init__(self) -> None:
            self.connection = Connection("memory:///finalized")
            self.queue = self.connection.SimpleQueue("q")
            self.itself = self

        def __del__(self) -> None:
            self.connection.release()

    def collected() -> None:
        broker = Connection("memory:///finalized").transport.broker
        Owner()
        with broker.lock:
            gc.collect()

    thread = threading.Thread(target=collected, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    memory.reset("finalized")


def test_who_waits_hears_of_a_queue_that_another_deleted_and_declared_again() -> None:
    broker = MemoryBroker("b")
    waiting, other = MemoryStore(broker), MemoryStore(broker)
    waiting.declare(QueueSpec("q"))
    woken: list[bool] = []
    thread = threading.Thread(target=lambda: woken.append(waiting.wait(["q"], 30)), daemon=True)
    thread.start()
    while not broker.queues["q"].waiters:
        time.sleep(0.001)
    other.delete("q")
    other.declare(QueueSpec("q"))
    other.put([Put("q", envelope())])
    thread.join(5)
    assert woken == [True]


def test_waiting_for_a_queue_that_is_not_there_makes_none() -> None:
    broker = MemoryBroker("b")
    waiting, other = MemoryStore(broker), MemoryStore(broker)
    assert not waiting.wait(["q"], 0.01)
    assert not waiting.exists("q")
    woken: list[bool] = []
    thread = threading.Thread(target=lambda: woken.append(waiting.wait(["q"], 30)), daemon=True)
    thread.start()
    other.put([Put("q", envelope())])
    thread.join(5)
    assert woken == [True]


def test_the_first_declaration_counts_for_a_queue_that_was_published_to_before() -> None:
    store = MemoryStore(MemoryBroker("b"))
    store.put([Put("q", envelope("12345"))])
    full = {"x-max-length-bytes": 6, "x-overflow": "reject-publish"}
    store.declare(QueueSpec("q", arguments=full))
    store.declare(QueueSpec("q"))
    with pytest.raises(QueueFull):
        store.put([Put("q", envelope("12"))])
    store.put([Put("q", envelope("1"))])


def items() -> int:
    gc.collect()
    return sum(type(each) is Item for each in gc.get_objects())


def test_what_expired_in_a_queue_that_nobody_reads_is_not_kept() -> None:
    store = MemoryStore(MemoryBroker("b"))
    before = items()
    for _ in range(1000):
        store.put([Put("q", envelope(), expires_at=time.time() - 1)])
        store.settle(rejects=[discard.claim for discard in store.sweep(100)])
    assert items() - before < 200


def test_what_was_done_before_its_time_is_not_kept_until_then() -> None:
    store = MemoryStore(MemoryBroker("b"))
    before = items()
    for _ in range(1000):
        store.put([Put("q", envelope(), expires_at=time.time() + 3600)])
        store.settle(acks=store.claim(["q"], 1))
    assert items() - before < 200


def test_expired_messages_return_when_nobody_could_take_care_of_them() -> None:
    store = MemoryStore(MemoryBroker("b"))
    store.put([Put("q", envelope(text), expires_at=time.time() - 1) for text in "abc"])
    discards = store.sweep(10)
    store.settle(releases=[discard.claim for discard in discards])
    assert [each.claim.message["body"] for each in store.sweep(10)] == ["a", "b", "c"]


def test_an_unused_queue_goes_though_nobody_names_it_again(client: Any, channel: Any) -> None:
    for number in range(3):
        channel.queue_declare(f"brief{number}", arguments={"x-expires": 20})
    channel.queue_declare("other")
    time.sleep(0.03)
    with pytest.raises(TimeoutError):
        client.drain_events(timeout=0.01)
    assert list(client.transport.broker.queues) == ["other"]
    assert list(channel.topology.queues) == ["other"]


def test_a_dead_letter_that_is_refused_stops_nobody(caplog: Any) -> None:
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    options = {"confirm_publish": True}
    with Connection("memory:///refusing", transport_options=options) as client:
        channel = client.channel()
        full = {"x-max-length": 0, "x-overflow": "reject-publish"}
        channel.queue_declare("dead", arguments=full)
        channel.queue_declare("q", arguments=dead)
        channel.queue_declare("other")
        producer = Producer(channel)
        producer.publish("expires", routing_key="q", expiration=0)
        producer.publish("rejected", routing_key="q")
        channel.basic_get("q").reject()
        producer.publish("arrives", routing_key="other")
        assert channel.basic_get("other").payload == "arrives"
    assert [record.kombu_reason for record in caplog.records] == ["expired", "rejected"]
    memory.reset("refusing")


def test_what_is_no_message_is_set_aside_whatever_it_asks_for(client: Any, channel: Any) -> None:
    store = client.transport.store
    odd = {"delivery_tag": "t", "expiration": "soon", "body_encoding": "nobody's"}
    store.put([Put("q", {"body": "!", "headers": 5, "properties": {"delivery_tag": "t"}})])
    store.put([Put("q", {"body": "!", "headers": {}, "properties": odd})])
    Producer(channel).publish("good", routing_key="q")
    assert channel.basic_get("q").payload == "good"
    assert store.size("q.undecodable") == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_wait_for_its_parents_threads(client: Any, channel: Any) -> None:
    Producer(channel).publish("before", routing_key="q")
    broker, held, done = client.transport.broker, threading.Event(), threading.Event()

    def hold() -> None:
        with broker.lock, broker.topology.lock:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    held.wait(5)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(5)
        with Connection(URL) as own:
            Producer(own).publish("after", routing_key="q")
            Queue("r")(own.default_channel).declare()
        os._exit(0)
    done.set()
    assert os.waitpid(child, 0)[1] == 0
    thread.join()


def test_what_was_held_back_goes_with_its_queue() -> None:
    store = MemoryStore(MemoryBroker("b"))
    soon = time.time() + 0.01
    store.put([Put("q", envelope(), ready_at=soon, expires_at=soon + 0.01)])
    store.delete("q")
    store.declare(QueueSpec("q"))
    time.sleep(0.03)
    assert store.sweep(10) == []
    assert store.size("q") == 0
