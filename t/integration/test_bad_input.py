"""What MongoDB, ZooKeeper and SQS can't take: clear errors, and nothing is lost by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import boto3
import pymongo
import pytest
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl

from kombu import Connection, Queue
from kombu.exceptions import BatchPublishError
from t.faults.broker import payloads, take
from t.services.pool import Servers


@pytest.fixture
def connect(servers: Servers) -> Iterator[Callable[..., Any]]:
    opened: list[Any] = []

    def connect(url: str, **options: Any) -> Any:
        opened.append(Connection(url, transport_options=options))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.release()


@pytest.fixture
def mongodb(servers: Servers) -> str:
    url = servers.env("mongodb")["MONGODB_URL"].rpartition("/")[0]
    return f"{url}/bad_{uuid4().hex[:8]}"


@pytest.fixture
def zookeeper(servers: Servers) -> str:
    return f"{servers.env('zookeeper')['ZOOKEEPER_URL']}/bad-{uuid4().hex[:8]}"


def goes_on(connection: Any, queue: str = "q") -> None:
    """The connection is as good as before."""
    channel = connection.channel()
    Queue(queue)(channel).declare()
    channel.Producer().publish("fine", routing_key=queue)
    messages = take(channel, queue, 1)
    assert payloads(messages) == ["fine"]
    for message in messages:
        message.ack()


@pytest.mark.server("mongodb")
def test_mongodb_names_the_size_of_what_is_too_large(
    connect: Callable[..., Any], mongodb: str
) -> None:
    connection = connect(mongodb)
    with pytest.raises(connection.channel_errors, match=r"message of \d+ bytes for queue 'q'"):
        connection.Producer().publish("x" * 17_000_000, routing_key="q")
    goes_on(connection)


@pytest.mark.server("mongodb")
def test_mongodb_takes_any_name(connect: Callable[..., Any], mongodb: str) -> None:
    goes_on(connect(mongodb), "a/b $c.\u00fc \n")


@pytest.mark.server("mongodb")
@pytest.mark.parametrize(
    "document",
    [
        {"payload": "no json {"},
        {"payload": "[1, 2]"},
        {"payload": 5},
        {"other": 1},
        {"payload": '{"body": 1, "properties": null}'},
    ],
    ids=str,
)
def test_mongodb_sets_foreign_documents_aside(
    connect: Callable[..., Any], mongodb: str, document: dict[str, Any]
) -> None:
    connection = connect(mongodb)
    channel = connection.channel()
    Queue("q")(channel).declare()
    with pymongo.MongoClient(mongodb) as client:
        messages = client.get_default_database().messages
        messages.insert_one({**document, "queue": "q", "priority": 0})
        goes_on(connection)
        kept = messages.find_one({"quarantined": "q"})
        assert kept is not None
        assert document.items() <= kept.items()


@pytest.mark.server("mongodb")
@pytest.mark.parametrize(
    "url",
    ["mongodb://host:no-port/db", "mongodb://u:geheim@a,b:x/db", "mongodb://host/db?w=many&x=y"],
)
def test_mongodb_urls_that_cant_be_read(connect: Callable[..., Any], url: str) -> None:
    connection = connect(url)
    with pytest.raises((ValueError, *connection.connection_errors)) as caught:
        connection.channel()
    assert "geheim" not in str(caught.value)


@pytest.mark.server("zookeeper")
@pytest.mark.parametrize("name", ["a/b", ".", "..", ".kombu", "a\x00b"])
def test_zookeeper_names_that_no_node_can_have(
    connect: Callable[..., Any], zookeeper: str, name: str
) -> None:
    connection = connect(zookeeper)
    channel = connection.channel()
    with pytest.raises(connection.channel_errors, match="can't be the name of a znode"):
        Queue(name)(channel).declare()
    goes_on(connection)


@pytest.mark.server("zookeeper")
def test_zookeeper_names_the_size_of_what_is_too_large(
    connect: Callable[..., Any], zookeeper: str
) -> None:
    connection = connect(zookeeper)
    with pytest.raises(ValueError, match=r"message of \d+ bytes for queue 'q'"):
        connection.Producer().publish("x" * 1_100_000, routing_key="q")
    goes_on(connection)


@pytest.mark.server("zookeeper")
def test_zookeeper_stores_what_is_beside_the_too_large(
    connect: Callable[..., Any], zookeeper: str
) -> None:
    connection = connect(zookeeper)
    channel = connection.channel()
    Queue("q")(channel).declare()
    producer = channel.Producer()
    with pytest.raises(BatchPublishError, match="1 of 3"), producer.batch():
        for body in ("a", "x" * 1_100_000, "b"):
            producer.publish(body, routing_key="q")
    assert payloads(take(channel, "q", 2)) == ["a", "b"]


@pytest.mark.server("sqs")
def test_sqs_names_that_no_queue_can_have(servers: Servers, connect: Callable[..., Any]) -> None:
    environment = servers.env("sqs")
    connection = connect(
        environment["SQS_URL"],
        endpoint_url=environment["SQS_ENDPOINT"],
        is_secure=False,
        wait_time_seconds=1,
    )
    with pytest.raises(connection.channel_errors, match="gr\u00f6\u00dfe"):
        Queue("gr\u00f6\u00dfe")(connection.channel()).declare()
    goes_on(connection, f"q-{uuid4().hex[:8]}")


@pytest.mark.server("zookeeper")
@pytest.mark.parametrize("data", [b"", b"{", b"\xff\x00", b"[1]"])
def test_zookeeper_sets_foreign_nodes_aside(
    servers: Servers, connect: Callable[..., Any], zookeeper: str, data: bytes
) -> None:
    connection = connect(zookeeper)
    Queue("q")(connection.channel()).declare()
    root = "/" + zookeeper.rpartition("/")[2]
    client = KazooClient(servers.env("zookeeper")["ZOOKEEPER_HOSTS"])
    client.start()
    try:
        client.create(f"{root}/q/entry-000-", data, sequence=True)
        client.create(f"{root}/q/not-an-entry", b"left alone")
        goes_on(connection)
        (name,) = client.get_children(f"{root}/.kombu/quarantine")
        assert client.get(f"{root}/.kombu/quarantine/{name}")[0] == data
        assert client.exists(f"{root}/q/not-an-entry")
    finally:
        client.stop()
        client.close()


@pytest.mark.server("zookeeper")
def test_zookeeper_without_permission(
    servers: Servers, connect: Callable[..., Any], zookeeper: str
) -> None:
    root = "/" + zookeeper.rpartition("/")[2]
    owner = KazooClient(servers.env("zookeeper")["ZOOKEEPER_HOSTS"])
    owner.start()
    try:
        owner.create(root, acl=[make_digest_acl("somebody", "else", all=True)])
        connection = connect(zookeeper)
        with pytest.raises(connection.channel_errors, match="NoAuth"):
            Queue("q")(connection.channel()).declare()
        mine = connect(zookeeper.replace("zookeeper://", "zookeeper://somebody:else@"))
        goes_on(mine)
    finally:
        owner.stop()
        owner.close()


@pytest.mark.server("sqs")
@pytest.mark.parametrize("body", ["plain text", "{}", '{"body": "x"}', "\u00fc\u20ac"], ids=repr)
def test_sqs_foreign_bodies_become_messages(
    servers: Servers, connect: Callable[..., Any], body: str
) -> None:
    environment = servers.env("sqs")
    prefix = f"{uuid4().hex[:8]}-"
    connection = connect(
        environment["SQS_URL"],
        endpoint_url=environment["SQS_ENDPOINT"],
        is_secure=False,
        queue_name_prefix=prefix,
        wait_time_seconds=1,
    )
    channel = connection.channel()
    Queue("q")(channel).declare()
    client = boto3.session.Session().client(
        "sqs",
        endpoint_url=environment["SQS_ENDPOINT"],
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="y",
    )
    url = client.get_queue_url(QueueName=f"{prefix}q")["QueueUrl"]
    client.send_message(QueueUrl=url, MessageBody=body)
    (message,) = take(channel, "q", 1)
    assert message.body in (body, body.encode())
    message.ack()
    goes_on(connection)
