"""Fanout by SNS: one topic an exchange, one subscription a queue, formats as published."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from kombu.transport.SQS.clients import Clients
from kombu.transport.SQS.errors import ERRORS
from kombu.transport.SQS.exceptions import (
    UnableToSubscribeQueueToTopicException,
    UndefinedExchangeException,
)
from kombu.transport.SQS.names import aws_name, is_fifo
from kombu.transport.SQS.options import SQSOptions
from kombu.transport.SQS.queues import Queues
from kombu.transport.virtual.store import Envelope, Fanout
from kombu.utils.json import dumps

#: AWS refuses to make a topic again with other tags, so these are the published ones.
TOPIC_TAGS = [
    {"Key": "ManagedBy", "Value": "Celery/Kombu"},
    {
        "Key": "Description",
        "Value": "This SNS topic is used by Kombu to enable Fanout support for AWS SQS.",
    },
]
POLICY_SID = "KombuManaged"


class SNSFanout(Fanout):
    """Publishes to topics; what SNS delivers arrives in the subscribed SQS queues themselves."""

    def __init__(self, clients: Clients, queues: Queues, options: SQSOptions) -> None:
        self.clients = clients
        self.queues = queues
        self.options = options
        self._lock = threading.Lock()
        self._topics: dict[str, str] = {}
        self._subscriptions: dict[str, dict[str, str]] = {}
        queues.on_deleted = self._drop_all

    def topic(self, exchange: str) -> str:
        """The ARN of an exchange's topic, made if need be.

        Raises:
            UndefinedExchangeException: exchanges are predefined and this is not one of them.
        """
        predefined = self.options.predefined_exchanges
        if predefined:
            if exchange not in predefined:
                raise UndefinedExchangeException(
                    f"exchange {exchange!r} is not among those of option predefined_exchanges"
                )
            return str(predefined[exchange]["arn"])
        with self._lock:
            arn = self._topics.get(exchange)
            if arn is None:
                name = aws_name(exchange)
                with ERRORS.mapped(f"create the topic of exchange {exchange!r}"):
                    answer = self.clients.sns(exchange).create_topic(
                        Name=name,
                        Attributes={"FifoTopic": "true" if is_fifo(name) else "false"},
                        Tags=TOPIC_TAGS,
                    )
                arn = self._topics[exchange] = str(answer["TopicArn"])
            return arn

    def publish(self, exchange: str, routing_key: str, message: Envelope) -> int | None:
        arn = self.topic(exchange)
        properties = message["properties"]
        request: dict[str, Any] = {"TopicArn": arn, "Message": dumps(message)}
        if properties.get("message_attributes"):
            request["MessageAttributes"] = properties["message_attributes"]
        if is_fifo(arn):
            request["MessageGroupId"] = properties.get("MessageGroupId") or "default"
            request["MessageDeduplicationId"] = properties.get("MessageDeduplicationId") or str(
                uuid4()
            )
        with ERRORS.mapped(f"publish to exchange {exchange!r}"):
            self.clients.sns(exchange).publish(**request)
        return None

    def subscribe(self, exchange: str, queue: str, routing_key: str) -> None:
        topic = self.topic(exchange)
        self.queues.ensure(queue)
        queue_arn = self.queues.attribute(queue, "QueueArn")
        with ERRORS.mapped(f"subscribe queue {queue!r} to exchange {exchange!r}"):
            answer = self.clients.sns(exchange).subscribe(
                TopicArn=topic,
                Protocol="sqs",
                Endpoint=queue_arn,
                Attributes={"RawMessageDelivery": "true"},
                ReturnSubscriptionArn=True,
            )
        subscription = answer.get("SubscriptionArn")
        if not subscription:
            raise UnableToSubscribeQueueToTopicException(
                f"SNS did not subscribe queue {queue!r} to exchange {exchange!r}"
            )
        with self._lock:
            self._subscriptions.setdefault(queue, {})[exchange] = str(subscription)
        self._allow(queue, str(queue_arn), topic)

    def _allow(self, queue: str, queue_arn: str, topic: str) -> None:
        """Let the topic send to the queue, whatever else its policy says."""
        text = self.queues.attribute(queue, "Policy")
        policy: dict[str, Any] = (
            json.loads(text) if text else {"Version": "2012-10-17", "Statement": []}
        )
        statements = policy["Statement"]
        ours = next((each for each in statements if each.get("Sid") == POLICY_SID), None)
        topics = [] if ours is None else ours["Condition"]["ArnLike"]["aws:SourceArn"]
        topics = [topics] if isinstance(topics, str) else topics
        if topic in topics:
            return
        wanted: list[str] = [*topics, topic]
        policy["Statement"] = [each for each in statements if each is not ours] + [
            {
                "Sid": POLICY_SID,
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "SQS:SendMessage",
                "Resource": queue_arn,
                "Condition": {
                    "ArnLike": {"aws:SourceArn": wanted[0] if len(wanted) == 1 else wanted}
                },
            }
        ]
        with ERRORS.mapped(f"let SNS send to queue {queue!r}"):
            self.clients.sqs(queue).set_queue_attributes(
                QueueUrl=self.queues.url(queue), Attributes={"Policy": json.dumps(policy)}
            )

    def unsubscribe(self, queue: str) -> None:
        """Nothing: the subscription is the queue's, which others may be consuming from.

        It ends with the binding, or with the queue.
        """

    def unbind(self, exchange: str, queue: str) -> None:
        with self._lock:
            subscription = self._subscriptions.get(queue, {}).pop(exchange, None)
        if subscription is not None:
            with ERRORS.mapped(f"unsubscribe queue {queue!r} from exchange {exchange!r}"):
                self.clients.sns(exchange).unsubscribe(SubscriptionArn=subscription)

    def _drop_all(self, queue: str) -> None:
        for exchange in list(self._subscriptions.get(queue, ())):
            self.unbind(exchange, queue)
        self._subscriptions.pop(queue, None)

    def pump(self, deliver: Callable[[str, Envelope], None]) -> int:
        return 0  # SNS delivers into the queues
