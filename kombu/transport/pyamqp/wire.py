"""AMQP 0-9-1 frames as bytes: what is written and read most often, without any I/O.

Byte for byte what py-amqp writes. Rare things (field types that are seldom used) are left to
its :mod:`amqp.serialization`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from struct import Struct
from struct import error as Struct_error
from typing import Any

from amqp.exceptions import FrameSyntaxError
from amqp.serialization import dumps, loads

#: Frame types, the frame end (AMQP 0-9-1, 2.3.5) and the size of the frame header.
METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
FRAME_END = 0xCE
FRAME_HEADER_SIZE = 7

#: Class and method ids.
BASIC_CLASS = 60
BASIC_PUBLISH = (60, 40)
BASIC_RETURN = (60, 50)
BASIC_DELIVER = (60, 60)
BASIC_GET_OK = (60, 71)

frame_header = Struct(">BHI")
method_header = Struct(">BHIHH")
content_header = Struct(">BHIHHQ")
body_size = Struct(">Q")

_ack = Struct(">BHIHHQBB")
_tag = Struct(">QB")
_long = Struct(">I")
_short = Struct(">H")
_long_long = Struct(">Q")
_tagged_long = Struct(">ci")
_tagged_double = Struct(">cd")

_FRAME_END_BYTE = b"\xce"
_ONE_BYTE = [bytes((number,)) for number in range(256)]

#: Property -> (flag in the content header, its form), in the order of the protocol (4.2.6.1).
PROPERTIES: tuple[tuple[str, int, str], ...] = (
    ("content_type", 0x8000, "s"),
    ("content_encoding", 0x4000, "s"),
    ("application_headers", 0x2000, "F"),
    ("delivery_mode", 0x1000, "o"),
    ("priority", 0x0800, "o"),
    ("correlation_id", 0x0400, "s"),
    ("reply_to", 0x0200, "s"),
    ("expiration", 0x0100, "s"),
    ("message_id", 0x0080, "s"),
    ("timestamp", 0x0040, "L"),
    ("type", 0x0020, "s"),
    ("user_id", 0x0010, "s"),
    ("app_id", 0x0008, "s"),
    ("cluster_id", 0x0004, "s"),
)


#: What a property must be, by its form.
_FORMS = {
    "s": "text",
    "o": "a whole number from 0 to 255",
    "F": "a table",
    "L": "a whole number of 64 bits",
}

#: What writing a value that has no form in AMQP ends in.
_UNWRITABLE = (FrameSyntaxError, TypeError, ValueError, OverflowError, Struct_error)


class _RareType(Exception):
    """A field type that is left to py-amqp."""


def ack_frame(channel: int, delivery_tag: int, multiple: bool) -> bytes:
    """basic.ack."""
    return _ack.pack(METHOD, channel, 13, 60, 80, delivery_tag, bool(multiple), FRAME_END)


def reject_frame(channel: int, delivery_tag: int, requeue: bool) -> bytes:
    """basic.reject."""
    return _ack.pack(METHOD, channel, 13, 60, 90, delivery_tag, bool(requeue), FRAME_END)


def short_string(text: str | bytes, what: str) -> bytes:
    """A short string with its length.

    Raises:
        ValueError: it is longer than 255 bytes; names what it was.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > 255:
        raise ValueError(f"{what} is {len(data)} bytes long; AMQP allows 255")
    return _ONE_BYTE[len(data)] + data


def publish_arguments(exchange: str, routing_key: str, mandatory: bool, immediate: bool) -> bytes:
    """Arguments of basic.publish."""
    return b"".join(
        (
            b"\0\0",
            short_string(exchange or "", "the exchange's name"),
            short_string(routing_key or "", "the routing key"),
            bytes((bool(mandatory) | bool(immediate) << 1,)),
        )
    )


def table(values: dict[str, Any]) -> bytes:
    """A field table with its length.

    Raises:
        ValueError: a name or value can't be written; says which header it is in.
        AttributeError: it is no table.
    """
    try:
        try:
            return _table(values)
        except _RareType:
            # The whole once more, by the one who knows every type.
            return bytes(dumps("F", (values,)))
    except _UNWRITABLE as exc:
        for key, value in values.items():
            if misfit := _misfit({key: value}):
                raise ValueError(f"header {key!r} {misfit}") from exc
        raise


def _misfit(value: Any) -> str | None:
    """What in a value can't be written."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, (str, bytes)):
                return f"has a name that is {type(key).__name__}, not text"
            if misfit := _misfit(inner):
                return misfit
        return None
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(_misfit, value)), None)
    try:
        dumps("F", ({"": value},))
    except _UNWRITABLE:
        if isinstance(value, int):
            return "holds an integer of more than 64 bits, which AMQP can't carry"
        return f"holds a value of type {type(value).__name__} that AMQP can't carry"
    return None


def _table(values: dict[str, Any]) -> bytes:
    parts: list[bytes] = []
    append = parts.append
    for key, value in values.items():
        name = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
        if len(name) > 255:
            raise ValueError(f"the name of header {str(key)[:20]!r}... is longer than 255 bytes")
        append(_ONE_BYTE[len(name)])
        append(name)
        append(_item(value))
    return _sized(b"".join(parts))


def _sized(data: bytes) -> bytes:
    length: bytes = _long.pack(len(data))
    return length + data


def _item(value: Any) -> bytes:
    kind = type(value)
    if kind is str:
        return b"S" + _sized(value.encode("utf-8", "surrogatepass"))
    if value is None:
        return b"V"
    if kind is int and -2147483647 <= value <= 2147483647:
        return bytes(_tagged_long.pack(b"I", value))
    if kind is bool:
        return b"t\1" if value else b"t\0"
    if kind is float:
        return bytes(_tagged_double.pack(b"d", value))
    if kind is dict:
        return b"F" + _table(value)
    if kind is list or kind is tuple:
        return b"A" + _sized(b"".join(map(_item, value)))
    raise _RareType


def properties_bytes(properties: dict[str, Any]) -> bytes:
    """Flags and property list of a content header; ``None`` is not sent.

    Raises:
        ValueError: a property or header can't be written; names it.
    """
    flags = 0
    parts: list[bytes] = [b""]
    get = properties.get
    for name, flag, form in PROPERTIES:
        value = get(name)
        if value is None:
            continue
        flags |= flag
        try:
            if form == "s":
                parts.append(short_string(value, f"property {name!r}"))
            elif form == "o":
                parts.append(bytes((value,)))
            elif form == "F":
                parts.append(table(value))
            else:
                parts.append(_long_long.pack(value))
        except (TypeError, AttributeError, ValueError, Struct_error) as exc:
            if isinstance(exc, ValueError) and form in "sF":
                raise  # it says which
            raise ValueError(
                f"property {name!r} must be {_FORMS[form]}, not {value!r:.40}"
            ) from exc
    parts[0] = _short.pack(flags)
    return b"".join(parts)


def content_frames(
    channel: int, arguments: bytes, properties: bytes, body: bytes, frame_max: int
) -> list[bytes | memoryview]:
    """basic.publish with its content: method, header and body frames.

    Arguments:
        arguments: from :func:`publish_arguments`.
        properties: from :func:`properties_bytes`.
        frame_max: the most bytes of one frame; a longer body becomes several.

    Raises:
        ValueError: properties and headers don't go into one frame, as they must.
    """
    size = len(body)
    room = frame_max - 8
    if len(properties) + 12 > room:
        raise ValueError(
            f"the properties and headers take {len(properties)} bytes; "
            f"the frames of this connection hold {room - 12}"
        )
    pieces: list[bytes | memoryview] = [
        method_header.pack(METHOD, channel, 4 + len(arguments), *BASIC_PUBLISH),
        arguments,
        _FRAME_END_BYTE,
        content_header.pack(HEADER, channel, 12 + len(properties), BASIC_CLASS, 0, size),
        properties,
        _FRAME_END_BYTE,
    ]
    if size <= room:
        if size:
            pieces += (frame_header.pack(BODY, channel, size), body, _FRAME_END_BYTE)
        return pieces
    view = memoryview(body)
    for start in range(0, size, room):
        piece = view[start : start + room]
        pieces += (frame_header.pack(BODY, channel, len(piece)), piece, _FRAME_END_BYTE)
    return pieces


def _text(data: bytes) -> Any:
    """Text as :func:`short_string` writes it; what is none (a binary id, say) stays bytes."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        try:
            return data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return data


def read_delivery(payload: bytes) -> tuple[str, int, bool, str, str]:
    """Arguments of basic.deliver: consumer tag, delivery tag, redelivered, exchange, routing key.

    Arguments:
        payload: of the method frame, with class and method id.
    """
    offset = 5 + payload[4]
    consumer_tag = _text(payload[5:offset])
    delivery_tag, redelivered = _tag.unpack_from(payload, offset)
    offset += 9
    end = offset + 1 + payload[offset]
    exchange = _text(payload[offset + 1 : end])
    routing_key = _text(payload[end + 1 : end + 1 + payload[end]])
    return consumer_tag, delivery_tag, bool(redelivered & 1), exchange, routing_key


def _read_table(buffer: bytes, offset: int) -> tuple[dict[Any, Any], int]:
    (length,) = _long.unpack_from(buffer, offset)
    offset += 4
    limit = offset + length
    values: dict[Any, Any] = {}
    while offset < limit:
        end = offset + 1 + buffer[offset]
        key = buffer[offset + 1 : end].decode()
        read = _FIELD_READERS.get(buffer[end])
        if read is None:
            raise _RareType
        values[key], offset = read(buffer, end + 1)
    return values, offset


def _read_long_string(buffer: bytes, offset: int) -> tuple[str | bytes, int]:
    start = offset + 4
    end = start + _long.unpack_from(buffer, offset)[0]
    data = buffer[start:end]
    try:
        return data.decode(), end
    except UnicodeDecodeError:
        return data, end


def _read_array(buffer: bytes, offset: int) -> tuple[list[Any], int]:
    limit = offset + 4 + _long.unpack_from(buffer, offset)[0]
    offset += 4
    values = []
    while offset < limit:
        read = _FIELD_READERS.get(buffer[offset])
        if read is None:
            raise _RareType
        value, offset = read(buffer, offset + 1)
        values.append(value)
    return values, offset


def _read_timestamp(buffer: bytes, offset: int) -> tuple[datetime | int, int]:
    (seconds,) = _long_long.unpack_from(buffer, offset)
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None), offset + 8
    except (ValueError, OverflowError, OSError):
        return seconds, offset + 8  # milliseconds, as some write, are no date


def _read_bytes(buffer: bytes, offset: int) -> tuple[bytes, int]:
    end = offset + 4 + _long.unpack_from(buffer, offset)[0]
    return buffer[offset + 4 : end], end


def _number(form: Struct) -> Callable[[bytes, int], tuple[Any, int]]:
    return lambda buffer, offset: (form.unpack_from(buffer, offset)[0], offset + form.size)


#: By the letters that RabbitMQ gives them; what only Decimal has is left to py-amqp.
_FIELD_READERS: dict[int, Callable[[bytes, int], tuple[Any, int]]] = {
    ord("S"): _read_long_string,
    ord("t"): lambda buffer, offset: (bool(buffer[offset]), offset + 1),
    ord("T"): _read_timestamp,
    ord("V"): lambda buffer, offset: (None, offset),
    ord("F"): _read_table,
    ord("A"): _read_array,
    ord("x"): _read_bytes,
    **{
        ord(letter): _number(Struct(f">{form}"))
        for letter, form in zip("bBsUuIilLfd", "bBhhHiIqqfd", strict=True)
    },
}


def read_table(buffer: bytes, offset: int) -> tuple[dict[Any, Any], int]:
    """A field table and the offset after it."""
    try:
        return _read_table(buffer, offset)
    except (_RareType, UnicodeDecodeError):
        (values,), end = loads("F", buffer, offset)
        return values, end


def read_properties(buffer: bytes, offset: int) -> dict[str, Any]:
    """The properties of a content header, from its flags on; those that were sent."""
    (flags,) = _short.unpack_from(buffer, offset)
    offset += 2
    properties: dict[str, Any] = {}
    for name, flag, form in PROPERTIES:
        if not flags & flag:
            continue
        if form == "s":
            end = offset + 1 + buffer[offset]
            properties[name] = _text(buffer[offset + 1 : end])
            offset = end
        elif form == "o":
            properties[name] = buffer[offset]
            offset += 1
        elif form == "F":
            properties[name], offset = read_table(buffer, offset)
        else:
            (properties[name],) = _long_long.unpack_from(buffer, offset)
            offset += 8
    return properties
