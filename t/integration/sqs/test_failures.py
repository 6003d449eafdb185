"""What AWS refuses: mapped, backed off, resumed; nothing lost, nobody deaf."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import boto3
import pytest
from amqp.exceptions import AccessRefused, NotFound

from kombu import Exchange, Queue
from kombu.exceptions import OperationalError
from kombu.mixins import ConsumerMixin
from kombu.transport.SQS.batches import ATTEMPTS, send_all
from kombu.transport.virtual.errors import MessageTooLarge, Throttled
from kombu.transport.virtual.store import PartialPutError
from t.eventually import eventually
from t.faults.broker import payloads, take
from t.services.awsproxy import AWSProxy
from t.services.pool import Servers

pytestmark = [pytest.mark.server("sqs"), pytest.mark.timeout(90)]

Connect = Callable[..., Any]


class Worker(ConsumerMixin):
    def __init__(self, connection: Any, queue: str) -> None:
        self.connection = connection
        self.queue = queue
        self.came: list[Any] = []

    def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:
        return [Consumer([Queue(self.queue)], on_message=self.received)]

    def received(self, message: Any) -> None:
        self.came.append(message.payload)
        message.ack()

    def wait_for(self, body: Any) -> None:
        eventually(lambda: body in self.came, f"{body} received")


@contextmanager
def working(connection: Any, queue: str) -> Iterator[Worker]:
    worker = Worker(connection, queue)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        worker.should_stop = True
        thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def producer(connect: Connect) -> Any:
    connection = connect()
    Queue("q")(connection.default_channel).declare()
    return connection.Producer()


@pytest.mark.parametrize(
    ("code", "times", "status"),
    [
        ("RequestThrottled", 6, 400),
        ("ThrottlingException", 6, 400),
        ("ServiceUnavailable", 6, 503),
        ("ExpiredToken", 1, 403),
        ("QueueDoesNotExist", 1, 400),
    ],
)
def test_a_consumer_goes_on(
    connect: Connect, proxy: AWSProxy, producer: Any, code: str, times: int, status: int
) -> None:
    with working(connect(), "q") as worker:
        producer.publish("before", routing_key="q")
        worker.wait_for("before")
        proxy.refuse("ReceiveMessage", code, times, status)
        asked = proxy.calls["ReceiveMessage"]
        producer.publish("after", routing_key="q")
        worker.wait_for("after")
        # A poll that was under way may have brought it before any was refused.
        eventually(lambda: not proxy.refusals["ReceiveMessage"], "all refusals")
    assert proxy.calls["ReceiveMessage"] - asked < times + 20


def test_throttled_calls_are_tried_again_ever_more_rarely(proxy: AWSProxy, producer: Any) -> None:
    proxy.refuse("SendMessage", "RequestThrottled", 2)
    producer.publish("x", routing_key="q")
    assert proxy.calls["SendMessage"] == 3
    proxy.refuse("SendMessage", "RequestThrottled", 20)
    with pytest.raises(Throttled, match="RequestThrottled"):
        producer.publish("y", routing_key="q")
    assert proxy.calls["SendMessage"] <= 8


def test_a_deleted_queue_is_made_again_by_what_is_sent_to_it(
    connect: Connect, producer: Any, aws: Any, prefix: str
) -> None:
    producer.publish("lost with it", routing_key="q")
    aws.delete_queue(QueueUrl=aws.get_queue_url(QueueName=f"{prefix}q")["QueueUrl"])
    producer.publish("x", routing_key="q")
    assert payloads(take(connect().channel(), "q", 1)) == ["x"]


def test_a_deleted_queue_ends_neither_acks_nor_renewals(
    connect: Connect, producer: Any, aws: Any, prefix: str
) -> None:
    channel = connect().channel()
    producer.publish("x", routing_key="q")
    (message,) = take(channel, "q", 1)
    aws.delete_queue(QueueUrl=aws.get_queue_url(QueueName=f"{prefix}q")["QueueUrl"])
    message.ack()
    channel.close()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("AccessDenied", AccessRefused),
        ("AccessDeniedException", AccessRefused),
        ("KMS.AccessDeniedException", AccessRefused),
        ("QueueDoesNotExist", NotFound),
    ],
)
def test_refusals_name_what_was_refused(
    proxy: AWSProxy, producer: Any, code: str, error: type[Exception]
) -> None:
    proxy.refuse("SendMessage", code, 5, 403)
    with pytest.raises(error, match=rf"send to queue 'q': {code}"):
        producer.publish("x", routing_key="q")


@pytest.mark.parametrize(
    "code", ["InvalidClientTokenId", "SignatureDoesNotMatch", "InvalidSignatureException"]
)
def test_bad_credentials_end_the_connection_and_are_not_tried_again(
    connect: Connect, proxy: AWSProxy, code: str
) -> None:
    proxy.refuse("GetQueueUrl", code, 50, 403)
    connection = connect()
    with pytest.raises(connection.connection_errors, match=code) as caught:
        Queue("q")(connection.channel()).declare()
    assert not isinstance(caught.value, connection.recoverable_connection_errors)
    assert "secret" not in str(caught.value)


def test_an_unreachable_region_is_a_connection_error(connect: Connect) -> None:
    connection = connect(endpoint_url="http://sqs.nowhere-1.invalid")
    with pytest.raises(connection.connection_errors, match="look up queue 'q'"):
        Queue("q")(connection.channel()).declare()


def test_an_unreachable_region_is_given_up_in_time(connect: Connect) -> None:
    connection = connect(endpoint_url="http://127.0.0.1:1")
    policy = {"max_retries": 2, "interval_start": 0, "interval_step": 0}
    with pytest.raises((OperationalError, *connection.connection_errors)):
        connection.Producer().publish("x", routing_key="q", retry=True, retry_policy=policy)


def test_sizes_are_checked_before_sending(
    connect: Connect, proxy: AWSProxy, producer: Any, aws: Any, prefix: str
) -> None:
    with pytest.raises(MessageTooLarge, match=r"message of \d{7} bytes for queue 'q'"):
        producer.publish("x" * 1_500_000, routing_key="q")
    assert not proxy.calls["SendMessage"]


def test_of_a_batch_what_is_too_large_fails_alone(connect: Connect, producer: Any) -> None:
    with pytest.raises(Exception) as caught, producer.batch():
        for body in ("a", "x" * 1_500_000, "b"):
            producer.publish(body, routing_key="q")
    causes = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert any(isinstance(each, PartialPutError) or "1 of 3" in str(each) for each in causes)
    assert sorted(payloads(take(connect().channel(), "q", 2))) == ["a", "b"]


class TestPartialFailures:
    """SQS answers batches entry by entry: who failed, and whose fault it was."""

    def entries(self, count: int) -> list[dict[str, Any]]:
        return [{"Id": str(number), "MessageBody": "x"} for number in range(count)]

    def test_what_failed_by_no_fault_of_ours_is_sent_again(self) -> None:
        windows: list[list[str]] = []

        def call(window: Any) -> dict[str, Any]:
            windows.append([entry["Id"] for entry in window])
            first = len(windows) == 1
            return {"Failed": [{"Id": "1", "Code": "InternalError"}] if first else []}

        assert send_all(self.entries(3), call) == {}
        assert windows == [["0", "1", "2"], ["1"]]

    def test_what_is_refused_is_not_sent_again(self) -> None:
        calls: list[Any] = []

        def call(window: Any) -> dict[str, Any]:
            calls.append(window)
            return {"Failed": [{"Id": "2", "Code": "InvalidMessage", "SenderFault": True}]}

        failed = send_all(self.entries(3), call)
        assert list(failed) == ["2"]
        assert "InvalidMessage" in str(failed["2"])
        assert len(calls) == 1

    def test_ten_at_most_go_together(self) -> None:
        sizes: list[int] = []

        def call(window: Any) -> dict[str, Any]:
            sizes.append(len(window))
            return {}

        send_all(self.entries(25), call)
        assert sizes == [10, 10, 5]


def test_an_ack_that_sqs_fails_at_is_sent_until_it_is_taken(
    connect: Connect, proxy: AWSProxy, producer: Any, aws: Any, prefix: str
) -> None:
    """Else the message comes again, though its consumer acknowledged it."""
    producer.publish("x", routing_key="q")
    connection = connect()
    (message,) = take(connection.channel(), "q", 1)
    proxy.fail_entries("DeleteMessageBatch", "InternalError", ATTEMPTS)
    with suppress(*connection.channel_errors):
        message.ack()
    url = aws.get_queue_url(QueueName=f"{prefix}q")["QueueUrl"]

    def in_flight() -> str:
        name = "ApproximateNumberOfMessagesNotVisible"
        answer = aws.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return str(answer["Attributes"][name])

    eventually(lambda: in_flight() == "0", "settled before its lease ends", 3)


def test_a_lease_that_cant_be_renewed_is_not_asked_for_again(
    connect: Connect, proxy: AWSProxy, producer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """SQS lets nobody hold a message for more than twelve hours."""
    producer.publish("x", routing_key="q")
    store = connect(lease=60).transport.create_store()
    (claim,) = store.claim(["q"], 1)
    proxy.fail_entries("ChangeMessageVisibilityBatch", "InvalidParameterValue", 1, True)
    for _ in range(3):
        store.renew([claim])
    assert proxy.calls["ChangeMessageVisibilityBatch"] == 1
    assert len([each for each in caplog.records if "not renewed" in each.getMessage()]) == 1
    store.settle(acks=[claim])
    assert proxy.calls["DeleteMessageBatch"] == 1
    store.close()


def test_a_deleted_queue_keeps_no_ack_of_another_from_its_queue(
    connect: Connect, producer: Any, aws: Any, prefix: str
) -> None:
    store = connect().transport.create_store()
    claims = []
    for name in ("deleted", "q"):
        Queue(name)(producer.channel).declare()
        producer.publish("x", routing_key=name)
        claims += store.claim([name], 1)
    aws.delete_queue(QueueUrl=aws.get_queue_url(QueueName=f"{prefix}deleted")["QueueUrl"])
    store.settle(acks=claims)
    url = aws.get_queue_url(QueueName=f"{prefix}q")["QueueUrl"]
    names = ["ApproximateNumberOfMessagesNotVisible"]
    left = aws.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    assert left == {names[0]: "0"}
    store.close()


def test_a_consumer_that_leaves_takes_no_subscription_along(connect: Connect) -> None:
    """Two consume from one queue of a fanout exchange: when one leaves, the other still hears."""
    exchange = Exchange(f"news-{uuid4().hex[:8]}", type="fanout")
    queue = Queue("shared", exchange)
    came: list[Any] = []
    leaving, staying = connect(supports_fanout=True), connect(supports_fanout=True)
    with staying.Consumer([queue], on_message=lambda m: came.append(m.payload) or m.ack()):
        with leaving.Consumer([queue], on_message=lambda m: m.requeue()):
            pass
        leaving.release()
        producer = connect(supports_fanout=True).Producer(exchange=exchange)
        producer.publish("x", declare=[exchange])
        staying.drain_events(timeout=10)
    assert came == ["x"]


def test_an_unbound_or_deleted_queue_is_not_subscribed(connect: Connect, servers: Servers) -> None:
    exchange = Exchange(f"news-{uuid4().hex[:8]}", type="fanout")
    sns = boto3.session.Session().client(
        "sns",
        endpoint_url=servers.env("sqs")["SQS_ENDPOINT"],
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )

    def subscriptions() -> int:
        (topic,) = [t for t in sns.list_topics()["Topics"] if t["TopicArn"].endswith(exchange.name)]
        return len(sns.list_subscriptions_by_topic(TopicArn=topic["TopicArn"])["Subscriptions"])

    connection = connect(supports_fanout=True)
    queues = [Queue(name, exchange) for name in ("unbound", "deleted")]
    with connection.Consumer(queues, on_message=lambda m: m.ack()) as consumer:
        assert subscriptions() == 2
        consumer.queues[0].unbind_from(exchange)
        assert subscriptions() == 1
        consumer.queues[1].delete()
        assert subscriptions() == 0


def test_delays_are_sqs_own(connect: Connect, producer: Any, aws: Any, prefix: str) -> None:
    producer.publish("later", routing_key="q", headers={"x-delay": 1200})
    url = aws.get_queue_url(QueueName=f"{prefix}q")["QueueUrl"]
    attributes = aws.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessagesDelayed"] == "1"
    assert payloads(take(connect().channel(), "q", 1, limit=10)) == ["later"]


def test_calls_for_a_thousand_messages(connect: Connect, proxy: AWSProxy) -> None:
    """Sent in batches, received and deleted by ten: 300 calls a thousand, and a few more."""
    count = 200
    connection = connect(wait_time_seconds=2)
    queue = Queue("many")(connection.default_channel)
    queue.declare()
    proxy.calls.clear()
    with connection.Producer() as producer, producer.batch():
        for number in range(count):
            producer.publish(number, routing_key="many")
    seen: list[int] = []

    def received(message: Any) -> None:
        seen.append(message.payload)
        message.ack()

    with connection.Consumer([queue], on_message=received, prefetch_count=100):
        while len(seen) < count:
            connection.drain_events(timeout=20)
    connection.release()
    assert sum(proxy.calls.values()) <= 0.333 * 2.1 * count
