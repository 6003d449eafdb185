"""MongoDB, ZooKeeper and SQS: what a crash takes along, names, and links that freeze."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from kombu import Connection, Exchange, Queue
from kombu.pidbox import Mailbox
from t.faults.broker import Broker, consume, drain, payloads, take
from t.faults.relay import Relay

mongodb_server = pytest.mark.server("mongodb")
zookeeper_server = pytest.mark.server("zookeeper")
sqs_server = pytest.mark.server("sqs")

HOLD_AND_DIE = """
import json, os, signal, sys
from kombu import Connection, Consumer, Queue
url, options, name, count = sys.argv[1:]
client, got = Connection(url, transport_options=json.loads(options)), []
with Consumer(client.channel(), [Queue(name)], on_message=got.append, auto_declare=False):
    while len(got) < int(count):
        client.drain_events(timeout=20)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def die_holding(broker: Broker, name: str, count: int, options: str) -> None:
    """Take messages in a process of its own and kill it."""
    done = subprocess.run(
        [sys.executable, "-c", HOLD_AND_DIE, broker.url, options, name, str(count)], timeout=60
    )
    assert done.returncode == -signal.SIGKILL


@mongodb_server
@pytest.mark.fault(13)
def test_mongodb_gives_back_what_a_killed_consumer_held(mongodb: Broker) -> None:
    channel = mongodb.connection(lease=1).channel()
    name = mongodb.queue(channel, *range(5))
    die_holding(mongodb, name, 3, '{"lease": 1}')
    assert sorted(payloads(take(channel, name, 5, limit=15))) == [0, 1, 2, 3, 4]


@zookeeper_server
@pytest.mark.fault(13)
def test_zookeeper_gives_back_what_a_killed_consumer_held(zookeeper: Broker) -> None:
    channel = zookeeper.connection(session_timeout=4).channel()
    name = zookeeper.queue(channel, *range(5))
    die_holding(zookeeper, name, 3, '{"session_timeout": 4}')
    assert sorted(payloads(take(channel, name, 5, limit=20))) == [0, 1, 2, 3, 4]


@mongodb_server
@pytest.mark.fault(15)
def test_mongodb_databases_share_no_names(mongodb: Broker) -> None:
    name = mongodb.name()
    fanout = Queue(name, Exchange(mongodb.name("f"), "fanout"))
    first = mongodb.connection()
    first.Consumer([fanout], on_message=print, channel=first.channel()).consume()
    second = mongodb.connection(mongodb.url.replace("/faults_", "/other_"))
    channel = second.channel()
    channel.queue_declare(name, durable=True)
    mongodb.put(channel, name, "x")
    _, got = consume(channel, name)
    drain(second, lambda: got)
    assert payloads(got) == ["x"]


@zookeeper_server
@pytest.mark.fault(19)
def test_zookeeper_declares_passively(zookeeper: Broker) -> None:
    connection = zookeeper.connection()
    channel = connection.channel()
    name = zookeeper.queue(channel, "x")
    assert Queue(name)(channel).queue_declare(passive=True).message_count == 1
    with pytest.raises(connection.channel_errors):
        Queue("not-there")(connection.channel()).queue_declare(passive=True)


@sqs_server
@pytest.mark.fault(14)
@pytest.mark.parametrize("prefix", ["", "some-"], ids=["plain", "prefix"])
@pytest.mark.parametrize("name", ["simple", "dotted.name"])
def test_sqs_queue_deleted_and_declared_again_works(sqs: Broker, prefix: str, name: str) -> None:
    channel = sqs.connection(queue_name_prefix=prefix).channel()
    name = f"{name}-{sqs.name()}"
    for number in range(2):
        queue = Queue(name, Exchange(f"x-{name}"), name)(channel)
        queue.declare()
        sqs.put(channel, name, number)
        assert payloads(take(channel, name, 1)) == [number]
        queue.delete()


@sqs_server
@pytest.mark.fault(30)
@pytest.mark.timeout(40, func_only=True)
def test_sqs_remote_control_without_an_event_loop(sqs: Broker) -> None:
    serving = sqs.connection(supports_fanout=True)
    asking = sqs.connection(supports_fanout=True)
    name = sqs.name("box")
    calls: list[str] = []
    node = Mailbox(name, type="fanout", connection=serving, accept=["json"]).Node(
        "host", channel=serving.channel(), handlers={"note": lambda state, **_: calls.append("x")}
    )
    node.listen()
    Mailbox(name, type="fanout", connection=asking, accept=["json"])._broadcast("note", {})
    drain(serving, lambda: calls, limit=10)
    assert calls == ["x"]


def frozen_publish(broker: Broker, relay: Relay, url: str, **options: Any) -> float:
    """Seconds a publish with a limit of two takes whose server answers nothing."""
    connection = broker.connection(url, **options)
    channel = connection.channel()
    name = broker.queue(channel, "before")
    relay.freeze()
    begin = time.monotonic()
    with pytest.raises((*connection.connection_errors, *connection.channel_errors, TimeoutError)):
        connection.Producer(channel).publish("x", routing_key=name, timeout=2)
    return time.monotonic() - begin


@mongodb_server
@pytest.mark.fault(32)
@pytest.mark.timeout(15, func_only=True)
def test_mongodb_publish_ends_in_time(mongodb: Broker) -> None:
    with Relay(mongodb.url) as relay:
        assert frozen_publish(mongodb, relay, relay.url) < 4


@zookeeper_server
@pytest.mark.fault(32)
@pytest.mark.timeout(15, func_only=True)
def test_zookeeper_publish_ends_in_time(zookeeper: Broker) -> None:
    with Relay(zookeeper.url) as relay:
        assert frozen_publish(zookeeper, relay, relay.url) < 4


@sqs_server
@pytest.mark.fault(32)
@pytest.mark.timeout(20, func_only=True)
def test_sqs_publish_ends_in_time(sqs: Broker) -> None:
    with Relay(sqs.options["endpoint_url"]) as relay:
        port = urlsplit(relay.url).port
        endpoint = {"endpoint_url": f"http://127.0.0.1:{port}"}
        assert frozen_publish(sqs, relay, f"sqs://x:y@127.0.0.1:{port}//", **endpoint) < 4


@pytest.mark.fault("kombu#1463")
@pytest.mark.timeout(20, func_only=True)
@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("mongodb://127.0.0.1:1/db", {}),
        ("zookeeper://127.0.0.1:1", {}),
        ("sqs://x:y@127.0.0.1:1//", {"endpoint_url": "http://127.0.0.1:1", "is_secure": False}),
    ],
    ids=["mongodb", "zookeeper", "sqs"],
)
def test_a_dead_port_is_a_connection_error_in_time(url: str, options: dict[str, Any]) -> None:
    connection = Connection(url, transport_options=options, connect_timeout=1)
    begin = time.monotonic()
    with pytest.raises(connection.connection_errors):
        connection.channel().queue_declare("q")
    assert time.monotonic() - begin < 10


@sqs_server
@pytest.mark.fault("kombu#279")
def test_sqs_names_the_size_of_what_is_too_large(sqs: Broker) -> None:
    # Green there on moto, whose own answer has both sizes.
    channel = sqs.connection().channel()
    name = sqs.queue(channel)
    with pytest.raises(Exception, match=r"\d{7} bytes"):
        sqs.put(channel, name, "x" * 1_500_000)
