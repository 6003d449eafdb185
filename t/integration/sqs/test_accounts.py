"""Predefined queues, credentials of their own, session tokens, roles that are renewed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from kombu import Queue
from kombu.transport.SQS import InvalidQueueException, UndefinedQueueException
from t.faults.broker import payloads, take
from t.services.awsproxy import AWSProxy

pytestmark = pytest.mark.server("sqs")

Connect = Callable[..., Any]


@pytest.fixture
def url(aws: Any, prefix: str) -> str:
    return str(aws.create_queue(QueueName=f"{prefix}there")["QueueUrl"])


def test_predefined_queues_are_used_and_none_is_made(
    connect: Connect, proxy: AWSProxy, url: str
) -> None:
    channel = connect(predefined_queues={"named": {"url": url}}).channel()
    Queue("named")(channel).declare()
    channel.Producer().publish("x", routing_key="named")
    assert payloads(take(channel, "named", 1)) == ["x"]
    assert not {"CreateQueue", "ListQueues", "GetQueueUrl", "DeleteQueue"} & set(proxy.calls)
    with pytest.raises(UndefinedQueueException, match="'other'"):
        Queue("other")(channel).declare()


def test_a_predefined_queue_needs_a_url(connect: Connect) -> None:
    with pytest.raises(InvalidQueueException, match="'named' has no url"):
        Queue("named")(connect(predefined_queues={"named": {"region": "x"}}).channel()).declare()


def test_queues_have_credentials_and_tokens_of_their_own(
    connect: Connect, proxy: AWSProxy, url: str
) -> None:
    own = {
        "url": url,
        "access_key_id": "AKIAOWN",
        "secret_access_key": "very-secret",
        "session_token": "the-token",
        "region": "us-east-1",
    }
    channel = connect(predefined_queues={"own": own, "plain": {"url": url}}).channel()
    for name in ("own", "plain"):
        channel.Producer().publish(name, routing_key=name)
    sent = [call for call in proxy.seen if call.action == "SendMessage"]
    assert [(call.access_key, call.token) for call in sent] == [
        ("AKIAOWN", "the-token"),
        ("key", ""),
    ]
    assert "very-secret" not in repr(channel.connection.store.clients.credentials)


@pytest.mark.parametrize("whole", [True, False], ids=["for all", "for one queue"])
def test_roles_are_assumed_and_renewed(
    connect: Connect, proxy: AWSProxy, url: str, whole: bool
) -> None:
    role = {"sts_role_arn": "arn:aws:iam::123456789012:role/kombu"}
    definition = {"url": url, **({} if whole else role)}
    channel = connect(
        predefined_queues={"q": definition},
        sts_token_timeout=900,
        sts_token_buffer_time=896,
        **(role if whole else {}),
    ).channel()
    producer = channel.Producer()
    producer.publish(1, routing_key="q")
    producer.publish(2, routing_key="q")
    assert proxy.calls["AssumeRole"] == 1
    time.sleep(4.1)  # the token is good for four seconds, by these options
    producer.publish(3, routing_key="q")
    assert proxy.calls["AssumeRole"] == 2
    keys = [call for call in proxy.seen if call.action == "SendMessage"]
    assert all(call.token and call.access_key != "key" for call in keys)
    assert keys[0].token == keys[1].token


def test_a_rejected_task_waits_as_its_policy_says(connect: Connect, url: str, aws: Any) -> None:
    definition = {
        "url": url,
        "backoff_policy": {1: 1, 2: 40},
        "backoff_tasks": ["tasks.flaky"],
    }
    channel = connect(predefined_queues={"q": definition}).channel()
    producer = channel.Producer()
    producer.publish("again", routing_key="q", headers={"task": "tasks.flaky"})
    (first,) = take(channel, "q", 1)
    rejected = time.monotonic()
    first.reject()
    (second,) = take(channel, "q", 1)
    assert time.monotonic() - rejected > 0.9
    second.reject()
    waiting = aws.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert waiting["ApproximateNumberOfMessagesNotVisible"] == "1"
    producer.publish("gone", routing_key="q", headers={"task": "tasks.other"})
    (other,) = take(channel, "q", 1)
    other.reject()
    waiting = aws.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert waiting["ApproximateNumberOfMessagesNotVisible"] == "1"


def test_a_queue_with_a_redrive_policy_dead_letters_by_itself(
    connect: Connect, aws: Any, prefix: str, url: str
) -> None:
    dead = aws.create_queue(QueueName=f"{prefix}dead")["QueueUrl"]
    arn = aws.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    policy = json.dumps({"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": "1"})
    aws.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})
    channel = connect().channel()
    channel.Producer().publish("bad", routing_key="there")
    (message,) = take(channel, "there", 1)
    message.reject()
    assert take(channel, "there", 1, limit=1) == []
    assert payloads(take(channel, "dead", 1)) == ["bad"]


def test_attributes_and_tags_of_new_queues(connect: Connect, aws: Any, prefix: str) -> None:
    options = {
        "sqs-creation-attributes": {"KmsMasterKeyId": "alias/aws/sqs"},
        "queue_tags": {"team": "x"},
        "visibility_timeout": 77,
    }
    Queue("new")(connect(**options).channel()).declare()
    url = aws.get_queue_url(QueueName=f"{prefix}new")["QueueUrl"]
    attributes = aws.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == "77"
    assert attributes["KmsMasterKeyId"] == "alias/aws/sqs"
    assert aws.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "x"}


@pytest.mark.parametrize(
    "asked",
    [
        ["SenderId", "SentTimestamp"],
        {"MessageSystemAttributeNames": ["SenderId", "SentTimestamp"]},
    ],
)
def test_attributes_that_are_asked_for_are_received(connect: Connect, asked: Any) -> None:
    channel = connect(fetch_message_attributes=asked).channel()
    Queue("q")(channel).declare()
    channel.Producer().publish("x", routing_key="q")
    (message,) = take(channel, "q", 1)
    raw = message.delivery_info["sqs_message"]
    assert {"SenderId", "SentTimestamp", "ApproximateReceiveCount"} <= set(raw["Attributes"])


def test_message_attributes_travel_beside_the_body(connect: Connect) -> None:
    asked = {"MessageAttributeNames": ["colour"]}
    channel = connect(fetch_message_attributes=asked).channel()
    Queue("q")(channel).declare()
    colour = {"colour": {"DataType": "String", "StringValue": "red"}}
    channel.Producer().publish("x", routing_key="q", message_attributes=colour)
    (message,) = take(channel, "q", 1)
    raw = message.delivery_info["sqs_message"]
    assert raw["MessageAttributes"]["colour"]["StringValue"] == "red"
    assert "colour" not in raw["Body"]


@pytest.mark.parametrize("base64", [True, False])
def test_bodies_with_and_without_base64(connect: Connect, aws: Any, base64: bool) -> None:
    channel = connect(sqs_base64_encoding=base64).channel()
    Queue("q")(channel).declare()
    channel.Producer().publish({"a": 1}, routing_key="q")
    (message,) = take(channel, "q", 1)
    assert message.payload == {"a": 1}
    assert message.delivery_info["sqs_message"]["Body"].startswith("{") is not base64
