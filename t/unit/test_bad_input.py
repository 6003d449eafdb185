"""Bad input gets an error that names what was wrong, and no message is lost by it.

Through the whole client, on the brokers that need no server.
"""

from __future__ import annotations

import os
import resource
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.compression import compress
from kombu.compression import encoders as compressions
from kombu.exceptions import ContentDisallowed, DecodeError, EncodeError, MessageStateError


@pytest.fixture(params=["memory", "filesystem"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A broker with a declared queue ``q``."""
    if request.param == "memory":
        client = Connection(f"memory:///{uuid4().hex}")
    else:
        client = folder_connection(tmp_path)
    with client:
        client.default_channel.queue_declare("q", durable=True)
        yield client


def folder_connection(folder: Path, **options: Any) -> Any:
    messages = folder / "messages"
    messages.mkdir(exist_ok=True)
    folders = {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(folder / "control"),
    }
    return Connection("filesystem://", transport_options={**folders, **options})


def ready(client: Any) -> int:
    """How many messages wait in the queue."""
    return int(client.default_channel.queue_declare("q", passive=True).message_count)


def consumed(client: Any, count: int, **options: Any) -> list[Any]:
    """The next messages, acknowledged."""
    got: list[Any] = []
    with Consumer(client, [Queue("q")], on_message=got.append, **options):
        while len(got) < count:
            client.drain_events(timeout=5)
        for message in got:
            message.ack()
    return got


# ---- URLs


@pytest.mark.parametrize(
    ("scheme", "suggestion"),
    [("memry", "memory"), ("redsi", "redis"), ("ampq", "amqp"), ("filesytem", "filesystem")],
)
def test_an_unknown_scheme_is_named_with_a_suggestion(scheme: str, suggestion: str) -> None:
    with pytest.raises((KeyError, ValueError, ImportError)) as caught:
        Connection(f"{scheme}://localhost").connect()
    assert scheme in str(caught.value)
    assert suggestion in str(caught.value).replace(scheme, "")


@pytest.mark.parametrize("port", ["abc", "99999", "-1", "12:34"])
def test_a_bad_port_is_named(port: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)port") as caught:
        Connection(f"amqp://user:hunter2@localhost:{port}//").connect()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "attribute", "value"),
    [
        ("amqp://us%40er:p%2Fw@host/v%2Fh", "userid", "us@er"),
        ("amqp://us%40er:p%2Fw@host/v%2Fh", "password", "p/w"),
        ("amqp://us%40er:p%2Fw@host/v%2Fh", "virtual_host", "v/h"),
        ("amqp://u:100%@host//", "password", "100%"),
        ("amqp://u:%zz@host//", "password", "%zz"),
        ("amqp://jürgen:geheim@host//", "userid", "jürgen"),
        ("amqp://u:p%C3%A4ss@host//", "password", "päss"),
        ("memory:///größe", "virtual_host", "größe"),
    ],
)
def test_escapes_and_unicode_in_urls_are_read(url: str, attribute: str, value: str) -> None:
    assert getattr(Connection(url), attribute) == value


def test_unicode_names_work(connection: Any) -> None:
    # Exchanges are files there, named as 5.7 names them.
    ascii_only = connection.transport.driver_type == "filesystem"
    exchange = Exchange("x" if ascii_only else "börse-交换", "topic")
    queue = Queue("größe-队列", exchange, routing_key="ключ.*")
    queue(connection.default_channel).declare()
    Producer(connection).publish("ü", exchange=queue.exchange, routing_key="ключ.a")
    assert queue(connection.default_channel).get().payload == "ü"


def test_an_exchange_that_can_not_be_a_file_is_named(tmp_path: Path) -> None:
    with folder_connection(tmp_path) as client, pytest.raises(client.channel_errors) as caught:
        client.default_channel.exchange_declare("börse/交换", "topic")
    assert "börse/交换" in str(caught.value)


# ---- entities


@pytest.mark.parametrize("kind", ["topc", "x-random"])
def test_an_unknown_exchange_type_is_named(connection: Any, kind: str) -> None:
    errors = (*connection.channel_errors, *connection.connection_errors, ValueError, LookupError)
    with pytest.raises(errors) as caught:
        connection.default_channel.exchange_declare("x", kind)
        connection.default_channel.queue_bind("q", "x", "k")
    assert repr(kind) in str(caught.value)


# ---- bodies


class Strange:
    """Nothing can write it."""


@pytest.mark.parametrize("serializer", ["json", "yaml", "msgpack"])
def test_an_unserialisable_body_is_named_and_not_published(
    connection: Any, serializer: str
) -> None:
    with pytest.raises(EncodeError, match="Strange"):
        Producer(connection).publish(
            {"key": Strange()}, routing_key="q", serializer=serializer, retry=True
        )
    assert ready(connection) == 0


GOOD = zlib.compress(b'"x"' * 1000)
BAD_BODIES: list[tuple[str, dict[str, Any], Any]] = [
    (
        "compressed body cut off",
        {"body": GOOD[:-5], "headers": {"compression": "application/x-gzip"}},
        r"(?i)compress|truncated|incomplete",
    ),
    (
        "compressed body corrupt",
        {"body": b"\0\1" + GOOD, "headers": {"compression": "application/x-gzip"}},
        r"(?i)compress",
    ),
    (
        "unknown compression",
        {"body": GOOD, "headers": {"compression": "application/x-nothing"}},
        "application/x-nothing",
    ),
    ("not what the content type says", {"body": b"{"}, None),
    ("bytes that are no text", {"body": b"\xff\xfe\xfd"}, None),
]


@pytest.mark.parametrize(
    ("fields", "told"), [(f, t) for _, f, t in BAD_BODIES], ids=[name for name, _, _ in BAD_BODIES]
)
def test_a_body_that_can_not_be_read_is_an_error_and_stays(
    connection: Any, fields: dict[str, Any], told: Any
) -> None:
    Producer(connection).publish(
        routing_key="q",
        content_type="application/json",
        content_encoding="utf-8",
        **fields,
    )
    bad: list[Any] = []
    consumer = Consumer(
        connection,
        [Queue("q")],
        callbacks=[lambda body, message: None],
        on_decode_error=lambda message, error: bad.append(message),
    )
    with consumer:
        while not bad:
            connection.drain_events(timeout=5)
    [message] = bad
    with pytest.raises(DecodeError, match=told):
        message.decode()
    message.requeue()
    assert ready(connection) == 1


def cut_off(body: bytes) -> bytes:
    return body[:-5]


def garbled(body: bytes) -> bytes:
    return b"\0\1\2\3" + body[4:]


@pytest.mark.parametrize("damage", [cut_off, garbled])
@pytest.mark.parametrize("compression", compressions())
def test_a_damaged_compressed_body_is_a_decode_error_that_says_so(
    connection: Any, compression: str, damage: Callable[[bytes], bytes]
) -> None:
    body, _ = compress(b'"x"' * 1000, compression)
    Producer(connection).publish(
        damage(body),
        routing_key="q",
        content_type="application/json",
        content_encoding="utf-8",
        headers={"compression": compression},
    )
    errors: list[BaseException] = []
    channel = connection.channel()
    with pytest.raises(DecodeError) as refused:
        Queue("q")(channel).get()
    errors.append(refused.value)
    channel.close()
    with (
        Consumer(connection, [Queue("q")], callbacks=[print]),
        pytest.raises(DecodeError) as refused,
    ):
        connection.drain_events(timeout=5)
    errors.append(refused.value)
    for error in errors:
        assert f"could not be decompressed ({compression})" in str(error)
        assert error.__cause__ is not None
        assert str(error.__cause__) in str(error)
    connection.default_channel.close()
    assert ready(connection) == 1


def test_a_content_type_that_is_not_accepted_is_named(connection: Any) -> None:
    Producer(connection).publish({"a": 1}, routing_key="q", serializer="yaml")
    message = Queue("q")(connection.default_channel).get(accept=["json"])
    with pytest.raises(ContentDisallowed, match=r"yaml"):
        message.decode()
    message.requeue()
    assert ready(connection) == 1


# ---- callbacks and acknowledging


def test_a_callback_that_raises_loses_nothing(connection: Any) -> None:
    producer = Producer(connection)
    for number in range(3):
        producer.publish(number, routing_key="q")
    channel = connection.channel()

    def callback(message: Any) -> None:
        raise LookupError("of the user")

    Consumer(channel, [Queue("q")], on_message=callback).consume()
    with pytest.raises(LookupError, match="of the user"):
        connection.drain_events(timeout=5)
    channel.close()
    assert [message.payload for message in consumed(connection, 3)] == [0, 1, 2]


def test_a_decode_error_goes_to_its_callback(connection: Any) -> None:
    producer = Producer(connection)
    body = {"content_type": "application/json", "content_encoding": "utf-8"}
    producer.publish(b"{", routing_key="q", **body)
    producer.publish("good", routing_key="q")
    bad: list[Any] = []
    good: list[Any] = []
    with Consumer(
        connection,
        [Queue("q")],
        callbacks=[lambda body, message: good.append((body, message.ack()))],
        on_decode_error=lambda message, error: bad.append((message, error)),
    ):
        while not good:
            connection.drain_events(timeout=5)
    [(message, error)] = bad
    assert isinstance(error, DecodeError)
    message.requeue()
    assert ready(connection) == 1


@pytest.mark.parametrize("second", ["ack", "reject", "requeue"])
def test_settling_twice_says_so(connection: Any, second: str) -> None:
    Producer(connection).publish("x", routing_key="q")
    message = Queue("q")(connection.default_channel).get()
    message.ack()
    with pytest.raises(MessageStateError, match="ACK"):
        getattr(message, second)()
    assert ready(connection) == 0


def test_an_ack_after_the_channel_closed_is_an_error_and_keeps_the_message(
    connection: Any,
) -> None:
    Producer(connection).publish("x", routing_key="q")
    channel = connection.channel()
    message = Queue("q")(channel).get()
    channel.close()
    with pytest.raises((*connection.connection_errors, *connection.channel_errors)):
        message.ack()
    assert ready(connection) == 1


# ---- the folders of the filesystem broker


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[tuple[Any, Path]]:
    with folder_connection(tmp_path) as client:
        client.default_channel.queue_declare("q", durable=True)
        yield client, tmp_path / "messages"


FOREIGN = {
    "foreign name": ("README.txt", b"hello"),
    "foreign of this queue": ("1_2.q.msg", b"this is no message"),
    "empty": ("2_3.q.msg", b""),
    "cut off": ("3_4.q.msg", b'{"body": "aGVsbG8", "head'),
    "no object": ("4_5.q.msg", b"[1, 2, 3]"),
    "no properties": ("5_6.q.msg", b'{"body": "eA==", "headers": {}}'),
    "bytes": ("6_7.q.msg", b"\xff\xfe\x00\x01"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_files_that_are_no_messages_stop_nobody_and_are_kept(
    folder: tuple[Any, Path], what: str
) -> None:
    client, messages = folder
    name, content = FOREIGN[what]
    (messages / name).write_bytes(content)
    producer = Producer(client)
    producer.publish("good", routing_key="q")
    producer.publish("too", routing_key="q")
    assert [message.payload for message in consumed(client, 2)] == ["good", "too"]
    kept = [path for path in messages.parent.rglob("*") if path.is_file()]
    assert content in [path.read_bytes() for path in kept]


def test_a_folder_in_a_messages_place_stops_nobody(folder: tuple[Any, Path]) -> None:
    client, messages = folder
    (messages / "1_2.q.msg" / "inside").mkdir(parents=True)
    Producer(client).publish("good", routing_key="q")
    assert [message.payload for message in consumed(client, 1)] == ["good"]
    assert [path.name for path in messages.rglob("*") if path.name == "inside"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    options = {"data_folder_in": str(tmp_path / "gone"), "data_folder_out": str(tmp_path)}
    client = Connection("filesystem://", transport_options=options)
    with pytest.raises(client.connection_errors, match="gone"):
        client.connect()


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow over ``size`` bytes (EFBIG, without the signal)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_may_not_grow_is_an_error_and_no_half_message(
    folder: tuple[Any, Path],
) -> None:
    client, messages = folder
    producer = Producer(client)
    producer.publish("before", routing_key="q")
    errors = (*client.connection_errors, *client.channel_errors)
    with full_disk(1000), pytest.raises(errors) as caught:
        producer.publish("x" * 100_000, routing_key="q")
    assert caught.value.__cause__ is not None
    producer.publish("after", routing_key="q")
    assert [message.payload for message in consumed(client, 2)] == ["before", "after"]
    assert [path for path in messages.rglob("*.msg") if path.is_file()] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_is_a_channel_error_and_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("not allowed to mount here")
    try:
        with folder_connection(disk) as client:
            client.default_channel.queue_declare("q", durable=True)
            producer = Producer(client)
            stored = 0
            with pytest.raises(client.channel_errors, match=r"(?i)space|full") as caught:
                while stored < 1000:
                    producer.publish("x" * 5000, routing_key="q")
                    stored += 1
            assert not isinstance(caught.value, client.connection_errors)
            assert stored > 5
            assert ready(client) == stored
            assert len(consumed(client, stored)) == stored
            producer.publish("after", routing_key="q")
            assert consumed(client, 1)[0].payload == "after"
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
