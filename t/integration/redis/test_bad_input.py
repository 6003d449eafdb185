"""What is no message, no queue and no URL: a clear error, and nothing lost or retried for ever."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from amqp.exceptions import ChannelError

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.testing.conformance.store import envelope
from t.integration.redis.servers import RedisServer

OK = json.dumps(
    {**envelope("ok"), "properties": {"delivery_tag": "tag", "delivery_info": {}, "priority": 0}}
)

POISON = {
    "text": b"not json",
    "binary": b"\x80\x04\xff\x00",
    "empty": b"",
    "cut short": OK[:-20].encode(),
    "a list": b"[1, 2]",
    "no properties": b'{"body": "x"}',
    "properties are no object": b'{"body": "x", "properties": 5}',
    "no delivery tag": b'{"body": "x", "properties": {"delivery_info": {}}}',
    "nested too deep": b'{"properties":' * 3000,
}


@pytest.fixture
def connection(server: RedisServer) -> Iterator[Connection]:
    with Connection(server.url) as connection:
        yield connection


def receive(connection: Connection, count: int) -> list[Any]:
    got: list[Any] = []
    with Consumer(
        connection.channel(),
        [Queue("q")],
        on_message=lambda message: (got.append(message.payload), message.ack()),
    ):
        while len(got) < count:
            connection.drain_events(timeout=5)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.2)
    return got


@pytest.mark.parametrize("value", POISON.values(), ids=POISON)
def test_what_is_no_message_is_set_aside_and_the_queue_goes_on(
    connection: Connection, client: redis.Redis, caplog: pytest.LogCaptureFixture, value: bytes
) -> None:
    producer = Producer(connection.channel())
    producer.publish("before", routing_key="q", declare=[Queue("q")])
    client.lpush("q", value)
    producer.publish("after", routing_key="q")
    with caplog.at_level(logging.ERROR, "kombu.transport.redis"):
        assert receive(connection, 2) == ["before", "after"]
    # It is kept, said once, held by nobody and not looked at again.
    assert client.lrange("_kombu.quarantine.q", 0, -1) == [value]
    assert len([record for record in caplog.records if "q" in record.getMessage()]) == 1
    assert client.llen("q") == client.hlen("unacked") == client.zcard("unacked_index") == 0


def test_a_message_whose_body_can_not_be_decoded_is_not_delivered_for_ever(
    connection: Connection, client: redis.Redis
) -> None:
    broken = json.loads(OK)
    broken["properties"]["body_encoding"] = "base64"
    broken["body"] = "A"
    client.lpush("q", json.dumps(broken), OK)
    producer = Producer(connection.channel())
    producer.publish("after", routing_key="q", declare=[Queue("q")])
    got: list[Any] = []
    failed: list[Any] = []

    def handle(message: Any) -> None:
        try:
            got.append(message.payload)
        except Exception:  # noqa: BLE001 - whatever the body's fault is
            failed.append(message)
            message.reject()
            return
        message.ack()

    with Consumer(connection.channel(), [Queue("q")], on_message=handle):
        while "after" not in got:
            connection.drain_events(timeout=5)
    aside = client.llen("q.undecodable") + client.llen("_kombu.quarantine.q")
    assert len(failed) + aside == 1
    assert client.hlen("unacked") == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda client: client.set("q", "x"),
        lambda client: client.hset("q", "a", "x"),
        lambda client: client.zadd("q", {"x": 1}),
        lambda client: client.sadd("q", "x"),
    ],
    ids=["string", "hash", "zset", "set"],
)
def test_a_queue_whose_key_is_something_else(
    connection: Connection, client: redis.Redis, make: Callable[[redis.Redis], Any]
) -> None:
    make(client)
    before = client.dump("q")
    channel = connection.channel()
    for use in (
        lambda: Producer(channel).publish("x", routing_key="q"),
        lambda: Queue("q")(channel).get(),
        lambda: channel._size("q"),
    ):
        with pytest.raises(ChannelError, match=r"'q'"):
            use()
    assert client.dump("q") == before


def test_a_queue_with_a_key_of_another_type_does_not_withhold_what_others_gave(
    server: RedisServer, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    # As in a cluster, where each queue is claimed from by a call of its own.
    options = {"cluster_tags": True}
    with Connection(server.url, transport_options=options) as connection:
        channel = connection.channel()
        Producer(channel).publish("x", routing_key="q", declare=[Queue("q"), Queue("r")])
        client.set("{r}_kombu.delayed", "x")
        got: list[Any] = []
        with Consumer(channel, [Queue("q"), Queue("r")], on_message=got.append):
            connection.drain_events(timeout=5)
            assert [message.payload for message in got] == ["x"]
            assert not got[0].delivery_info.get("redelivered")
            with pytest.raises(ChannelError, match="WRONGTYPE"):
                connection.drain_events(timeout=5)
    assert "'r'" in caplog.text


@pytest.mark.parametrize("key", ["unacked", "unacked_index", "_kombu.holdings", "_kombu.leases"])
def test_bookkeeping_of_another_type_is_said_and_loses_nothing(
    connection: Connection, client: redis.Redis, key: str
) -> None:
    channel = connection.channel()
    Producer(channel).publish("x", routing_key="q", declare=[Queue("q")])
    client.set(key, "x")
    with pytest.raises(ChannelError, match="WRONGTYPE"):
        Queue("q")(channel).get()
    client.delete(key)
    message = Queue("q")(channel).get()
    assert message is not None
    assert message.payload == "x"


@pytest.mark.parametrize("missing", ["hexists", "hset", "zadd", "ltrim", "time"])
def test_a_permission_that_is_missing_half_way_loses_nothing(
    server: RedisServer, client: redis.Redis, missing: str
) -> None:
    client.execute_command(
        "ACL", "SETUSER", "weak", "on", ">pw", "~*", "&*", "+@all", f"-{missing}"
    )
    client.lpush("q", *[OK.replace('"tag"', f'"tag{number}"') for number in range(150)])
    with Connection(server.url.replace("//", "//weak:pw@")) as weak:
        channel = weak.channel()
        with pytest.raises(ChannelError, match=r"(?i)perm"):
            Queue("q")(channel).get()
    assert client.llen("q") == 150
    assert client.hlen("unacked") == 0
    client.execute_command("ACL", "DELUSER", "weak")


@pytest.mark.parametrize("database", ["x", "1x", "-1", "1.5"])
def test_a_database_that_is_no_number(server: RedisServer, database: str) -> None:
    with (
        pytest.raises(ValueError, match=r"[Dd]atabase"),
        Connection(f"redis://127.0.0.1:{server.port}/{database}") as connection,
    ):
        connection.connect()


def test_a_database_that_is_not_there(server: RedisServer) -> None:
    with Connection(f"redis://127.0.0.1:{server.port}/99") as connection:
        kinds = (*connection.connection_errors, *connection.channel_errors)
        with pytest.raises(kinds, match=r"(?i)out of range"):
            connection.transport.establish_connection()


@pytest.mark.parametrize("kind", ["clustr", "sentinal", "cluster+strems"])
def test_a_scheme_that_is_none_does_not_show_the_password(kind: str) -> None:
    with (
        pytest.raises(ValueError, match="scheme") as caught,
        Connection(f"redis+{kind}://user:secret@127.0.0.1:1/0") as connection,
    ):
        connection.connect()
    assert "secret" not in str(caught.value)


def test_options_show_no_secrets() -> None:
    options = {"master_name": "m", "sentinel_kwargs": {"password": "secret"}}
    with Connection("sentinel://127.0.0.1:1/0", transport_options=options) as connection:
        shown = [connection.transport.options, connection.transport.broker.server.any_node().pool]
        assert "secret" not in repr(shown)


@pytest.mark.parametrize("sep", ["\x06\x16", ":"])
@pytest.mark.parametrize(
    ("kind", "binding", "key"),
    [
        ("direct", "a{sep}b", "a{sep}b"),
        ("direct", "", ""),
        ("topic", "a{sep}b.#", "a{sep}b.c"),
    ],
)
def test_bindings_may_hold_what_separates_their_parts(
    server: RedisServer, sep: str, kind: str, binding: str, key: str
) -> None:
    exchange = Exchange("e", kind)
    queue = Queue(f"q{sep}{sep}r", exchange, binding.format(sep=sep))
    options = {"sep": sep}
    with (
        Connection(server.url, transport_options=options) as connection,
        Connection(server.url, transport_options=options) as other,
    ):
        queue(connection.channel()).declare()
        Producer(other.channel(), exchange).publish("x", key.format(sep=sep))
        message = queue(connection.channel()).get(no_ack=True)
        assert message is not None
        assert message.payload == "x"


@pytest.mark.parametrize("name", ["a[b]", "a?", "a\\b", "a*", "a#", "\u00fc\x06"])
def test_a_fanout_exchange_is_its_name_and_no_pattern(connection: Connection, name: str) -> None:
    channel = connection.channel()
    exchange, similar = Exchange(name, "fanout"), Exchange(f"{name}b", "fanout")
    got: list[Any] = []
    with Consumer(channel, [Queue("f", exchange)], on_message=got.append):
        producer = Producer(channel)
        producer.publish("not for it", exchange=similar, declare=[similar])
        producer.publish("for it", exchange=exchange)
        connection.drain_events(timeout=2)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.05)
    assert [message.payload for message in got] == ["for it"]


def test_patterns_of_fanout_routing_keys(connection: Connection) -> None:
    channel = connection.channel()
    exchange = Exchange("f[1]", "fanout")
    got: list[Any] = []
    with Consumer(channel, [Queue("f", exchange, "a.#")], on_message=got.append):
        producer = Producer(channel, exchange)
        producer.publish("no", "b.c")
        producer.publish("yes", "a.b.c")
        connection.drain_events(timeout=2)
    assert [message.payload for message in got] == ["yes"]


@pytest.mark.parametrize("lacking", [["ZMSCORE"], ["ZMSCORE", "CLIENT"]], ids=["6.0", "5"])
def test_a_server_without_later_commands(tmp_path: Path, lacking: list[str]) -> None:
    server = RedisServer(tmp_path / "old", *(f'rename-command {name} ""' for name in lacking))
    try:
        with Connection(server.start().url) as connection:
            channel = connection.channel()
            queue = Queue("q", Exchange("e"), "k", expires=60)(channel)
            queue.declare()
            Producer(channel).publish("x", exchange="e", routing_key="k")
            message = queue.get()
            message.requeue()
            message = queue.get()
            assert message.payload == "x"
            message.ack()
            assert not server.client().exists("unacked", "q")
            assert queue.get() is None
    finally:
        server.stop(signal.SIGKILL)


@pytest.mark.parametrize("port", ["x", "99999"])
def test_a_port_that_is_none(port: str) -> None:
    with (
        pytest.raises(ValueError, match=r"(?i)port"),
        Connection(f"redis://127.0.0.1:{port}/0") as connection,
    ):
        connection.connect()
