from __future__ import annotations

import pytest
from amqp.exceptions import UnexpectedFrame

from kombu.transport.pyamqp import wire
from kombu.transport.pyamqp.assembly import Assembly

DELIVER = b"\0\x3c\0\x3c" + b"arguments"
DECLARE_OK = b"\0\x32\0\x0b" + b"arguments"


def frames_of(channel, *bodies, properties=None):
    size = wire.body_size.pack(sum(map(len, bodies)))
    header = b"\0\x3c\0\0" + size + wire.properties_bytes(properties or {})
    yield wire.METHOD, channel, DELIVER
    yield wire.HEADER, channel, header
    for body in bodies:
        yield wire.BODY, channel, body


@pytest.fixture
def assembly():
    return Assembly()


def test_a_method_alone_is_complete(assembly):
    assert assembly.add((wire.METHOD, 1, DECLARE_OK)) == (1, (50, 11), DECLARE_OK, None, b"")


def test_heartbeats_are_nothing(assembly):
    assert assembly.add((wire.HEARTBEAT, 0, b"")) is None


@pytest.mark.parametrize("bodies", [[], [b"abc"], [b"ab", b"c", b"def"]])
def test_a_message_is_complete_with_its_last_frame(assembly, bodies):
    *first, last = frames_of(1, *bodies, properties={"priority": 3})
    assert [assembly.add(frame) for frame in first] == [None] * len(first)
    assert assembly.add(last) == (1, (60, 60), DELIVER, {"priority": 3}, b"".join(bodies))
    assert assembly.add((wire.METHOD, 1, DECLARE_OK))


def test_channels_do_not_mix(assembly):
    one, two = frames_of(1, b"a", b"b"), frames_of(2, b"c", b"d")
    arrived = [assembly.add(frame) for pair in zip(one, two, strict=True) for frame in pair]
    assert [each[0::4] for each in arrived if each] == [(1, b"ab"), (2, b"cd")]


@pytest.mark.parametrize(
    ("before", "frame"),
    [
        (0, (wire.HEADER, 1, b"")),
        (0, (wire.BODY, 1, b"x")),
        (1, (wire.BODY, 1, b"x")),
        (1, (wire.METHOD, 1, DECLARE_OK)),
        (2, (wire.HEADER, 1, b"")),
        (2, (wire.METHOD, 1, DELIVER)),
        (2, (77, 1, b"")),
    ],
)
def test_what_cannot_come_next_is_refused(assembly, before, frame):
    for expected in list(frames_of(1, b"abc"))[:before]:
        assembly.add(expected)
    with pytest.raises(UnexpectedFrame, match=f"type {frame[0]} on channel 1"):
        assembly.add(frame)
