"""FIFO queues, and FIFO topics (on ministack: moto has none)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from kombu import Connection, Exchange, Queue
from t.faults.broker import payloads, take
from t.services.pool import Servers

Connect = Callable[..., Any]


@pytest.mark.server("sqs")
class TestQueues:
    def test_order_and_groups(self, connect: Connect) -> None:
        channel = connect().channel()
        queue = Queue("orders.fifo")(channel)
        queue.declare()
        producer = channel.Producer()
        for number in range(6):
            producer.publish(
                number, routing_key="orders.fifo", MessageGroupId=f"group-{number % 2}"
            )
        came = []
        for _ in range(6):
            (message,) = take(channel, "orders.fifo", 1)
            came.append(message.payload)
            raw = message.delivery_info["sqs_message"]
            assert raw["Body"]
            message.ack()
        assert [n for n in came if n % 2 == 0] == [0, 2, 4]
        assert [n for n in came if n % 2] == [1, 3, 5]

    def test_duplicates_are_dropped_by_their_id(self, connect: Connect) -> None:
        channel = connect().channel()
        Queue("once.fifo")(channel).declare()
        producer = channel.Producer()
        for body in ("first", "again"):
            producer.publish(
                body, routing_key="once.fifo", MessageDeduplicationId="same", MessageGroupId="g"
            )
        producer.publish("other", routing_key="once.fifo", MessageGroupId="h")
        assert sorted(payloads(take(channel, "once.fifo", 2))) == ["first", "other"]
        assert take(channel, "once.fifo", 1, limit=1) == []

    def test_a_message_without_ids_is_no_duplicate(self, connect: Connect) -> None:
        channel = connect().channel()
        Queue("q.fifo")(channel).declare()
        for _ in range(2):
            channel.Producer().publish("same", routing_key="q.fifo")
        for _ in range(2):
            (message,) = take(channel, "q.fifo", 1)
            message.ack()

    def test_names_keep_their_suffix(self, connect: Connect, aws: Any, prefix: str) -> None:
        Queue("a.b.fifo")(connect().channel()).declare()
        assert aws.get_queue_url(QueueName=f"{prefix}a-b.fifo")["QueueUrl"]

    def test_a_dead_letter_is_no_duplicate(self, connect: Connect) -> None:
        """Rejected into its own queue again: SQS must not take it for the message it has seen."""
        channel = connect().channel()
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "again.fifo"}
        Queue("again.fifo", queue_arguments=arguments)(channel).declare()
        channel.Producer().publish("x", routing_key="again.fifo", MessageDeduplicationId="one")
        for _ in range(3):
            (message,) = take(channel, "again.fifo", 1)
            message.reject()
        assert payloads(take(channel, "again.fifo", 1)) == ["x"]


@pytest.mark.server("sqs-ministack")
class TestTopics:
    @pytest.fixture
    def connection(self, servers: Servers) -> Iterator[Any]:
        environment = servers.env("sqs-ministack")
        options = {
            "endpoint_url": environment["MINISTACK_ENDPOINT"],
            "is_secure": False,
            "wait_time_seconds": 1,
            "supports_fanout": True,
            "queue_name_prefix": f"{uuid4().hex[:8]}-",
        }
        url = environment["MINISTACK_URL"]
        with Connection(url, transport_options=options) as connection:
            yield connection

    @pytest.mark.parametrize("suffix", ["", ".fifo"], ids=["standard", "fifo"])
    def test_fanout_by_topics(self, connection: Any, suffix: str) -> None:
        exchange = Exchange(f"news-{uuid4().hex[:8]}{suffix}", type="fanout")
        queues = [Queue(f"reader{number}{suffix}", exchange) for number in range(2)]
        came: list[Any] = []

        def received(message: Any) -> None:
            came.append(message.payload)
            message.ack()

        with connection.Consumer(queues, on_message=received):
            producer = connection.Producer(exchange=exchange)
            for number in range(3):
                producer.publish(number, MessageGroupId="g")
            while len(came) < 6:
                connection.drain_events(timeout=10)
        assert sorted(came) == [0, 0, 1, 1, 2, 2]
