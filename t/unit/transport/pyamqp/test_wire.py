"""What is written and read equals what py-amqp writes and reads, byte for byte."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace

import amqp
import pytest
from amqp.basic_message import Message
from amqp.method_framing import frame_writer
from amqp.serialization import decode_properties_basic, dumps, loads
from hypothesis import given
from hypothesis import strategies as st

from kombu.transport.pyamqp import wire

texts = st.text(max_size=40)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False)
    | texts
    | st.binary(max_size=20)
    | st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)).map(
        lambda moment: moment.replace(microsecond=0)
    )
    | st.decimals(-1000, 1000, allow_nan=False, places=2),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
tables = st.dictionaries(texts, values, max_size=6)
octets = st.integers(0, 255)
properties = st.fixed_dictionaries(
    {},
    optional={
        "content_type": texts,
        "content_encoding": texts,
        "application_headers": tables,
        "delivery_mode": octets,
        "priority": octets,
        "correlation_id": texts,
        "reply_to": texts,
        "expiration": texts,
        "message_id": texts,
        "timestamp": st.integers(0, 2**64 - 1),
        "type": texts,
        "user_id": texts,
        "app_id": texts,
        "cluster_id": texts,
    },
)


@given(properties)
def test_properties_are_written_and_read_as_by_py_amqp(properties):
    written = wire.properties_bytes(properties)
    assert written == Message("", **properties)._serialize_properties()
    assert wire.read_properties(written, 0) == decode_properties_basic(written, 0)[0]


@given(tables)
def test_tables(values):
    written = wire.table(values)
    assert written == dumps("F", (values,))
    read, end = wire.read_table(b"xx" + written, 2)
    assert end == len(written) + 2
    assert read.keys() == values.keys()


@given(st.integers(1, 65535), st.integers(0, 2**64 - 1), st.booleans())
def test_acks_and_rejects(channel, tag, flag):
    for method, frame in (((60, 80), wire.ack_frame), ((60, 90), wire.reject_frame)):
        assert frame(channel, tag, flag) == written_by_py_amqp(
            channel, method, dumps("Lb", (tag, flag)), None
        )


@given(
    st.binary(max_size=9000),
    texts,
    texts,
    st.booleans(),
    st.booleans(),
    st.sampled_from([4096, 9000]),
)
def test_publishes(body, exchange, routing_key, mandatory, immediate, frame_max):
    message = Message(body, content_type="a/b", application_headers={"x": 1})
    arguments = wire.publish_arguments(exchange, routing_key, mandatory, immediate)
    frames = wire.content_frames(
        7, arguments, wire.properties_bytes(message.properties), body, frame_max
    )
    expected = written_by_py_amqp(
        7,
        wire.BASIC_PUBLISH,
        dumps("Bssbb", (0, exchange, routing_key, mandatory, immediate)),
        message,
        frame_max,
    )
    assert without_framing(b"".join(frames)) == without_framing(expected)
    assert all(len(frame) <= frame_max for frame in frames_of(b"".join(frames)))


def written_by_py_amqp(channel, method, arguments, content, frame_max=131072):
    written = bytearray()
    write = frame_writer(
        SimpleNamespace(frame_max=frame_max, bytes_sent=0), SimpleNamespace(write=written.extend)
    )
    write(1, channel, method, arguments, content)
    return bytes(written)


def frames_of(data):
    while data:
        size = wire.frame_header.unpack_from(data)[2]
        yield data[: size + 8]
        data = data[size + 8 :]


def without_framing(data):
    """Method, header and the whole body: how a body is cut into frames is free."""
    method, header, *body = frames_of(data)
    return method, header, b"".join(frame[7:-1] for frame in body)


@given(texts, st.integers(0, 2**64 - 1), st.booleans(), texts, texts)
def test_deliveries(consumer_tag, delivery_tag, redelivered, exchange, routing_key):
    arguments = (consumer_tag, delivery_tag, redelivered, exchange, routing_key)
    payload = b"\0\x3c\0\x3c" + dumps("sLbss", arguments)
    assert wire.read_delivery(payload) == arguments


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"correlation_id": "x" * 256}, "correlation_id"),
        ({"priority": 256}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"timestamp": -1}, "timestamp"),
        ({"message_id": 5}, "message_id"),
        ({"application_headers": {"k" * 256: 1}}, "kkk"),
    ],
)
def test_what_cannot_be_written_is_named(properties, named):
    with pytest.raises(ValueError, match=named):
        wire.properties_bytes(properties)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (object(), "'a' holds a value of type object"),
        ([1, {"deep": {1, 2}}], "'a' holds a value of type set"),
        (Decimal("NaN"), "'a' holds a value of type Decimal"),
        (2**64, "'a' holds an integer of more than 64 bits"),
        ({"deep": {5: 1}}, "'a' has a name that is int"),
    ],
)
def test_a_header_that_cannot_be_written_is_named(value, text):
    with pytest.raises(ValueError, match=text):
        wire.properties_bytes({"application_headers": {"fine": 1, "a": value}})


def test_headers_are_a_table():
    with pytest.raises(ValueError, match="'application_headers' must be a table"):
        wire.properties_bytes({"application_headers": [1]})


def test_properties_go_into_one_frame():
    arguments = wire.publish_arguments("", "q", False, False)
    fits, too_much = (
        wire.properties_bytes({"application_headers": {"x": "y" * size}}) for size in (4053, 4080)
    )
    assert wire.content_frames(1, arguments, fits, b"", 4096)
    with pytest.raises(ValueError, match="frames of this connection hold 4076"):
        wire.content_frames(1, arguments, too_much, b"", 4096)


def test_rare_types_are_read():
    headers = {"decimal": Decimal("1.5"), "moment": datetime(2020, 1, 1), "bytes": b"\xff"}
    written = wire.table(headers)
    assert wire.read_table(written, 0) == (
        amqp.serialization.loads("F", written, 0)[0][0],
        len(written),
    )


@pytest.mark.parametrize("text", [b"\xff\xfe", "\ud800", "ä"])
def test_what_is_no_utf8_is_read_as_it_was_written(text):
    """A correlation id may be binary; a message with one must not stop its consumer."""
    given = {"correlation_id": text, "type": "t"}
    written = wire.properties_bytes(given)
    assert wire.read_properties(written, 0) == given
    assert wire.properties_bytes(wire.read_properties(written, 0)) == written


def test_names_that_are_no_utf8_are_read():
    payload = b"\0\x3c\0\x3c" + b"\2c\xff" + b"\0" * 7 + b"\5\1" + b"\1x" + b"\1\xfe"
    assert wire.read_delivery(payload) == (b"c\xff", 5, True, "x", b"\xfe")


@pytest.mark.parametrize("moment", [1_700_000_000_000, 2**63])
def test_a_moment_that_is_no_date_is_a_number(moment):
    """Milliseconds where seconds belong, as some producers write them."""
    table = b"\1tT" + moment.to_bytes(8, "big") + b"\1xx\0\0\0\1\xff" + b"\1ss\xff\xfe"
    sized = len(table).to_bytes(4, "big") + table
    assert wire.read_table(sized, 0) == ({"t": moment, "x": b"\xff", "s": -2}, len(sized))


@pytest.mark.parametrize("letter", "bBsUuIilLfdx")
def test_every_type_is_read_as_py_amqp_reads_it(letter):
    data = b"\0\0\0\4" + b"\xfe\xdc\xba\x98" if letter == "x" else b"\xc0\x3f\x12\x34" * 2
    size = {"b": 1, "B": 1, "s": 2, "U": 2, "u": 2, "I": 4, "i": 4, "f": 4}.get(letter, 8)
    table = b"\1k" + letter.encode() + data[:size]
    sized = len(table).to_bytes(4, "big") + table
    assert wire.read_table(sized, 0) == (loads("F", sized, 0)[0][0], len(sized))
