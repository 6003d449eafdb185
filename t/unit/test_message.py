"""The received message: settling it, reading it, and what goes wrong with either."""

from __future__ import annotations

import logging
import pickle
import zlib

import pytest

from kombu.compression import DEFAULT_MAX_SIZE, set_max_size
from kombu.exceptions import ContentDisallowed, DecodeError, MessageStateError
from kombu.message import Message


class Channel:
    """Notes what is settled; fails with ``error``."""

    def __init__(self, no_ack_consumers=None, error=None):
        self.no_ack_consumers = no_ack_consumers
        self.error = error
        self.settled = []

    def basic_ack(self, delivery_tag, multiple=False):
        self._note("ack", delivery_tag, multiple)

    def basic_reject(self, delivery_tag, requeue=False):
        self._note("reject", delivery_tag, requeue)

    def _note(self, *call):
        if self.error is not None:
            raise self.error
        self.settled.append(call)


def json_message(body=b'{"a": 1}', **kwargs):
    return Message(body, content_type="application/json", content_encoding="utf-8", **kwargs)


@pytest.mark.parametrize(
    ("settle", "sent"),
    [
        (lambda m: m.ack(), ("ack", 7, False)),
        (lambda m: m.ack(multiple=True), ("ack", 7, True)),
        (lambda m: m.reject(), ("reject", 7, False)),
        (lambda m: m.reject(requeue=True), ("reject", 7, True)),
        (lambda m: m.requeue(), ("reject", 7, True)),
    ],
)
def test_is_settled_once(settle, sent):
    channel = Channel()
    message = Message("b", 7, channel=channel)
    assert not message.acknowledged
    settle(message)
    assert message.acknowledged
    assert channel.settled == [sent]
    for again in (message.ack, message.reject, message.requeue):
        with pytest.raises(MessageStateError, match="already acknowledged with state"):
            again()
    assert channel.settled == [sent]


def test_cannot_be_settled_without_a_channel():
    for settle in (Message("b", 7).ack, Message("b", 7).reject, Message("b", 7).requeue):
        with pytest.raises(MessageStateError, match="not have a receiving channel"):
            settle()


def test_what_failed_may_be_tried_again():
    channel = Channel(error=OSError("gone"))
    message = Message("b", 7, channel=channel)
    with pytest.raises(OSError, match="gone"):
        message.ack()
    assert not message.acknowledged
    channel.error = None
    message.ack()
    assert message.acknowledged


def test_consumer_without_acknowledgement():
    channel = Channel(no_ack_consumers={"tag"})
    message = Message("b", 7, channel=channel, delivery_info={"consumer_tag": "tag"})
    message.ack()
    assert channel.settled == []
    assert not message.acknowledged
    for info in ({}, {"consumer_tag": "other"}):
        Message("b", 7, channel=channel, delivery_info=info).ack()
    assert len(channel.settled) == 2


@pytest.mark.parametrize("settle", ["ack_log_error", "reject_log_error"])
def test_log_error(settle, caplog):
    message = Message("b", 7, channel=Channel(error=KeyError("boom")))
    logger = logging.getLogger("test")
    for errors in (KeyError, (ValueError, KeyError)):
        caplog.clear()
        getattr(message, settle)(logger, errors)
        (record,) = caplog.records
        assert record.levelno == logging.CRITICAL
        assert "7" in record.getMessage()
        assert record.exc_info[0] is KeyError
    with pytest.raises(KeyError):
        getattr(message, settle)(logger, (ValueError,))


def test_broken_pipe_on_ack_is_logged_and_raised(caplog):
    message = Message("b", 7, channel=Channel(error=BrokenPipeError()))
    for errors in ((OSError,), (KeyError,)):
        with pytest.raises(BrokenPipeError):
            message.ack_log_error(logging.getLogger("test"), errors)
    assert len(caplog.records) == 2


def test_payload_is_decoded_once():
    message = json_message()
    assert message.payload == {"a": 1}
    assert message.payload is message.payload is message.decode()
    assert json_message(b"[]").payload == []


def test_payload_that_is_not_accepted():
    message = json_message(accept=["application/x-yaml"])
    with pytest.raises(ContentDisallowed):
        _ = message.payload
    message.accept = {"application/json"}
    assert message.payload == {"a": 1}


def test_subclass_may_decode():
    class Own(Message):
        def _decode(self):
            return "own"

    assert Own("x").payload == Own("x").decode() == "own"


def test_body_is_decompressed():
    message = json_message(zlib.compress(b'{"a": 1}'), headers={"compression": "gzip"})
    assert message.body == b'{"a": 1}'
    assert message.payload == {"a": 1}
    assert message.errors == []


@pytest.mark.parametrize(
    ("compression", "error"), [("application/x-gzip", zlib.error), ("nope", KeyError)]
)
def test_broken_compression_shows_when_the_body_is_read(compression, error):
    """The published package hands out the compressed bytes as payload."""
    message = Message(
        b"broken",
        content_type="application/data",
        content_encoding="binary",
        headers={"compression": compression},
    )
    assert message.body == b"broken"
    seen = []
    message._reraise_error(lambda *args: seen.append(args))
    assert seen == [(message, message.errors[0][1])]
    for read in (message.decode, lambda: message.payload, message._reraise_error):
        with pytest.raises(DecodeError, match=rf"decompressed \({compression}\)") as failure:
            read()
        assert isinstance(failure.value.__cause__, error)


def test_too_large_body_is_refused_and_kept():
    body = zlib.compress(bytes(4_000_000))
    set_max_size(1_000_000)
    try:
        message = Message(body, headers={"compression": "gzip"})
    finally:
        set_max_size(DEFAULT_MAX_SIZE)
    assert message.body is body
    with pytest.raises(DecodeError, match=r"application/x-gzip.* larger than the limit"):
        message.decode()


def test_text_is_encoded():
    assert Message("\u00e9", postencode="utf-8").body == b"\xc3\xa9"
    failed = Message("\u00e9", postencode="nope")
    assert failed.body == "\u00e9"
    assert isinstance(failed.errors[0][1].__cause__, LookupError)


def test_defaults_are_not_shared():
    one, two = Message("a"), Message("b")
    for name in ("headers", "properties", "delivery_info", "errors"):
        assert getattr(one, name) is not getattr(two, name)


def test_takes_what_else_it_is_given():
    message = Message("a", delivery_tag=1, other=3)
    message.mine = 5
    assert message.mine == 5
    assert not hasattr(message, "other")


def test_repr_shows_no_body():
    message = Message(
        "secret",
        3,
        content_type="text/plain",
        properties={"correlation_id": "c", "reply_to": "r"},
        delivery_info={"routing_key": "k", "exchange": "e", "consumer_tag": "t"},
    )
    assert "secret" not in repr(message)
    assert (
        "{'state': 'RECEIVED', 'content_type': 'text/plain', 'delivery_tag': 3, 'body_length': 6, "
        "'properties': {'correlation_id': 'c'}, "
        "'delivery_info': {'exchange': 'e', 'routing_key': 'k'}}"
    ) in repr(message)
    assert "body_length" not in repr(Message(None))


def test_pickles():
    message = pickle.loads(pickle.dumps(json_message(delivery_tag=3, headers={"h": 1})))
    assert (message.delivery_tag, message.headers, message.payload) == (3, {"h": 1}, {"a": 1})
