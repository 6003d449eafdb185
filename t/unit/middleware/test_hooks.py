"""Each hook, wherever what it is named after may happen."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from kombu import Connection, Exchange, Queue
from kombu.exceptions import MessageStateError
from kombu.middleware import Middleware
from t.unit.middleware.watching import Watch


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def connection(watch: Watch, request: pytest.FixtureRequest) -> Iterator[Connection]:
    with Connection("memory://", virtual_host=request.node.name, middleware=[watch]) as connection:
        yield connection


def test_on_publish_sees_and_changes_what_is_sent(connection: Connection) -> None:
    class Stamp(Middleware):
        def on_publish(self, publishing: Any, proceed: Any) -> Any:
            assert publishing.connection is connection
            assert (publishing.exchange, publishing.routing_key) == ("", "q")
            assert (publishing.body, publishing.content_type) == ('{"n": 1}', "application/json")
            publishing.headers["stamp"] = "here"
            publishing.properties["correlation_id"] = "c"
            publishing.body = '{"n": 2}'
            return proceed(publishing)

    connection.middleware.add(Stamp())
    given = {"own": 1}
    queue = Queue("q")(connection.channel())
    connection.Producer().publish({"n": 1}, routing_key="q", headers=given)
    message = queue.get()
    assert message.payload == {"n": 2}
    assert message.headers == {"own": 1, "stamp": "here"}
    assert message.properties["correlation_id"] == "c"
    assert given == {"own": 1}


@pytest.mark.parametrize("limits", [{}, {"retry": True}, {"timeout": 5}])
def test_on_publish_is_around_the_whole_publish(
    connection: Connection, watch: Watch, limits: dict[str, Any]
) -> None:
    connection.Producer().publish("x", routing_key="q", **limits)
    assert watch.seen == [("publish", "q"), ("publish", "done")]
    assert Queue("q")(connection.channel()).purge() == 1


def test_on_publish_may_keep_a_message_from_being_sent(connection: Connection) -> None:
    class Never(Middleware):
        def on_publish(self, publishing: Any, proceed: Any) -> Any:
            return "kept"

    connection.middleware.add(Never())
    assert connection.Producer().publish("x", routing_key="q") == "kept"
    assert Queue("q")(connection.channel()).get() is None


def test_on_publish_in_a_batch(connection: Connection, watch: Watch) -> None:
    batched = []

    class Ask(Middleware):
        def on_publish(self, publishing: Any, proceed: Any) -> Any:
            batched.append(publishing.batched)
            return proceed(publishing)

    connection.middleware.add(Ask())
    producer = connection.Producer()
    with producer.batch():
        producer.publish(1, routing_key="q")
        producer.publish(2, routing_key="q")
    producer.publish(3, routing_key="q")
    assert watch.begun == [("publish", "q")] * 3
    assert batched == [producer.supports_batch_publish] * 2 + [False]


def test_a_producer_made_on_a_channel(connection: Connection, watch: Watch) -> None:
    channel = connection.channel()
    channel.Producer().publish("x", routing_key="q")
    assert watch.begun == [("publish", "q")]


@pytest.mark.parametrize("by", ["callbacks", "on_message"])
def test_on_deliver_and_on_settle_of_a_consumer(
    connection: Connection, watch: Watch, by: str
) -> None:
    def handle(message: Any) -> None:
        watch.seen.append(("handler", message.payload))
        message.ack()

    handlers: dict[str, Any] = {
        "callbacks": {"callbacks": [lambda body, message: handle(message)]},
        "on_message": {"on_message": handle},
    }
    with connection.Consumer(Queue("q", Exchange("e")), **handlers[by]):
        connection.Producer().publish("x", exchange="e", routing_key="")
        del watch.seen[:]
        connection.drain_events(timeout=5)
    assert watch.seen == [
        ("deliver", "q"),
        ("handler", "x"),
        ("settle", "ack"),
        ("settle", "done"),
        ("deliver", "done"),
    ]


def test_a_delivery_knows_what_the_handler_raised(connection: Connection) -> None:
    found = []

    class Look(Middleware):
        def on_deliver(self, delivery: Any, proceed: Any) -> Any:
            try:
                return proceed(delivery)
            finally:
                found.append((delivery.error, delivery.needs_settling, delivery.connection))

    connection.middleware.add(Look())

    def fail(body: Any, message: Any) -> None:
        raise KeyError(body)

    with connection.Consumer(Queue("q"), callbacks=[fail]):
        connection.Producer().publish("x", routing_key="q")
        with pytest.raises(KeyError) as raised:
            connection.drain_events(timeout=5)
    assert found == [(raised.value, True, connection)]


def test_on_deliver_of_a_queue_that_is_asked(connection: Connection, watch: Watch) -> None:
    queue = Queue("q")(connection.channel())
    connection.Producer().publish("x", routing_key="q")
    del watch.seen[:]
    message = queue.get()
    message.reject()
    assert watch.begun == [("deliver", "q"), ("settle", "reject")]
    assert queue.get() is None
    assert len(watch.begun) == 2


def test_a_pulled_message_that_is_withheld_is_followed_by_the_next(connection: Connection) -> None:
    class Withhold(Middleware):
        def on_deliver(self, delivery: Any, proceed: Any) -> Any:
            message = proceed(delivery)
            if message.payload == "no":
                message.ack()
                return None
            return message

    connection.middleware.add(Withhold())
    queue = Queue("q")(connection.channel())
    for body in ("no", "no", "yes", "no"):
        connection.Producer().publish(body, routing_key="q")
    assert queue.get().payload == "yes"
    assert queue.get() is None


def test_a_simple_queue(connection: Connection, watch: Watch) -> None:
    with connection.SimpleQueue("simple") as queue:
        del watch.seen[:]
        queue.put("a")
        queue.put("b")
        queue.get(timeout=5).ack()
        queue.get(timeout=5).ack()
    names = [hook for hook, _ in watch.begun]
    assert (names.count("publish"), names.count("deliver"), names.count("settle")) == (2, 2, 2)


@pytest.mark.parametrize(
    ("settle", "action", "state"),
    [
        (lambda message: message.ack(), "ack", "ACK"),
        (lambda message: message.ack_log_error(None, ()), "ack", "ACK"),
        (lambda message: message.reject(), "reject", "REJECTED"),
        (lambda message: message.reject(requeue=True), "requeue", "REJECTED"),
        (lambda message: message.reject_log_error(None, ()), "reject", "REJECTED"),
        (lambda message: message.requeue(), "requeue", "REQUEUED"),
    ],
)
def test_on_settle(
    connection: Connection, watch: Watch, settle: Any, action: str, state: str
) -> None:
    queue = Queue("q")(connection.channel())
    connection.Producer().publish("x", routing_key="q")
    message = queue.get()
    del watch.seen[:]
    settle(message)
    assert watch.begun == [("settle", action)]
    assert message.acknowledged
    assert f"'state': '{state}'" in repr(message)
    with pytest.raises(MessageStateError):
        message.ack()
    assert watch.begun == [("settle", action)]
    assert (queue.get() is not None) == (action == "requeue")


def test_a_settlement_that_fails_goes_through_the_hooks_again(
    connection: Connection, watch: Watch
) -> None:
    class FailsOnce(Middleware):
        failed = False

        def on_settle(self, settlement: Any, proceed: Any) -> Any:
            if not self.failed:
                self.failed = True
                raise OSError("lost")
            return proceed(settlement)

    connection.middleware.add(FailsOnce())
    queue = Queue("q")(connection.channel())
    connection.Producer().publish("x", routing_key="q")
    message = queue.get()
    with pytest.raises(OSError, match="lost"):
        message.ack()
    assert not message.acknowledged
    message.ack()
    assert message.acknowledged
    assert [hook for hook, _ in watch.begun].count("settle") == 2


@pytest.mark.filterwarnings("ignore:PRECONDITION_FAILED")
def test_no_settlement_where_there_is_nothing_to_settle(
    connection: Connection, watch: Watch
) -> None:
    with connection.Consumer(
        Queue("q"), no_ack=True, callbacks=[lambda body, message: message.ack()]
    ):
        connection.Producer().publish("x", routing_key="q")
        connection.drain_events(timeout=5)
    assert "settle" not in [hook for hook, _ in watch.begun]


def test_on_declare(connection: Connection, watch: Watch) -> None:
    with connection.channel() as channel:
        assert Queue("q", Exchange("e"), "k")(channel).declare() == "q"
        named = Queue("", durable=False)(channel)
        named.declare()
        assert named.name
        connection.Producer(exchange=Exchange("e2")).publish("x")
    assert watch.seen[:4] == [
        ("declare", "q"),
        ("declare", "e"),
        ("declare", "done"),
        ("declare", "done"),
    ]
    assert ("declare", "e2") in watch.seen


def test_on_reconnect(connection: Connection, watch: Watch) -> None:
    connection.connect()
    assert watch.seen == []
    connection.collect()
    connection.connect()
    assert watch.seen == [("reconnect", None), ("reconnect", "done")]


def test_dead_letters_are_told_of(connection: Connection, watch: Watch) -> None:
    channel = connection.channel()
    Queue("dead")(channel).declare()
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    queue = Queue("q", queue_arguments=arguments)(channel)
    queue.declare()
    connection.Producer().publish("x", routing_key="q")
    queue.get().reject()
    assert watch.begun[-1] == ("dead_lettered", "q")


def test_a_middleware_that_fails_at_a_notice_stops_nothing(
    connection: Connection, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Middleware):
        def on_notice(self, notice: Any) -> None:
            raise RuntimeError("broken")

    connection.middleware.add(Broken(), first=True)
    test_dead_letters_are_told_of(connection, watch)
    assert "broken" in caplog.text


def test_a_settled_message_is_no_garbage(connection: Connection) -> None:
    """Deliveries go when they are done with, without the collector's help."""
    watched: list[Any] = []

    class Mark:
        """Something of the delivery that can be watched."""

    class Look(Middleware):
        def on_deliver(self, delivery: Any, proceed: Any) -> Any:
            delivery.span = Mark()
            watched.append(weakref.ref(delivery.span))
            return proceed(delivery)

    connection.middleware.add(Look())
    queue = Queue("q")(connection.channel())
    connection.Producer().publish("x", routing_key="q")
    gc.disable()
    try:
        queue.get().ack()
        assert watched[0]() is None
    finally:
        gc.enable()
