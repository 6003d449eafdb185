"""The message as it is stored, and its way back to a :class:`Message`.

The format is recorded in ``docs``: a plain dict of ``body`` (text), ``content-type``,
``content-encoding``, ``headers`` and ``properties``; ``properties`` holds what AMQP keeps
beside the body, ``delivery_info``, ``body_encoding`` and ``delivery_tag``.
"""

from __future__ import annotations

import time
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any, Protocol
from uuid import uuid4

from kombu.message import Message as BaseMessage
from kombu.transport.virtual.errors import InvalidEnvelope
from kombu.transport.virtual.store import Claim, Envelope
from kombu.utils.json import loads

#: Property that carries a message's absolute deadline (unix seconds); read by every process.
EXPIRES_AT = "x-expires-at"
#: Property of a message that a backend alone can't hold back long enough: unix seconds.
READY_AT = "x-ready-at"


def parse(stored: str | bytes | None) -> Envelope | None:
    """The envelope in what a backend stored; ``None`` where that is no message of kombu's."""
    if stored is None:
        return None
    try:
        if isinstance(stored, bytes):
            stored = stored.decode("utf-8", "surrogatepass")
        message = loads(stored)
    except (LookupError, RecursionError, TypeError, ValueError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("properties"), dict):
        return None
    return message


def foreign(text: str) -> Envelope:
    """A message whose body is a text that no kombu wrote."""
    return {
        "body": text,
        "content-type": None,
        "content-encoding": None,
        "headers": {},
        "properties": {"delivery_info": {}, "body_encoding": "utf-8", "delivery_tag": str(uuid4())},
    }


def noting(message: Envelope, ready_at: float | None) -> Envelope:
    """The message, with a note of when it is ready, for :func:`ready_in`; ``None``: as it is."""
    if ready_at is None:
        return message
    return {**message, "properties": {**message["properties"], READY_AT: ready_at}}


def ready_at(message: Envelope) -> float:
    """Unix time before which a message must not be delivered, by its own note; 0.0: at once."""
    noted = message["properties"].get(READY_AT)
    return float(noted) if isinstance(noted, int | float) else 0.0


def ready_in(message: Envelope) -> float:
    """Seconds that a message must still be held back by its own note; 0.0 without one."""
    return max(ready_at(message) - time.time(), 0.0)


class Codec(Protocol):
    """A body encoding: bytes or text to text and back."""

    def encode(self, s: bytes | str, /) -> str: ...

    def decode(self, s: str, /) -> bytes: ...


class Base64:
    """The default body encoding."""

    def encode(self, s: bytes | str) -> str:
        """Text of any bytes."""
        data = s.encode() if isinstance(s, str) else s
        return b2a_base64(data, newline=False).decode("ascii")

    def decode(self, s: str | bytes) -> bytes:
        """The bytes of what :meth:`encode` made."""
        return a2b_base64(s)


class LeasedEnvelope(dict[str, Any]):
    """An envelope that remembers the claim it is held under."""

    __slots__ = ("claim",)

    claim: Claim

    def __init__(self, message: Mapping[str, Any], claim: Claim) -> None:
        super().__init__(message)
        self.claim = claim


def claim_of(raw: object) -> Claim | None:
    """The claim an envelope is held under; ``None`` for envelopes of classic ``_get`` hooks."""
    return raw.claim if isinstance(raw, LeasedEnvelope) else None


def leased(claim: Claim) -> LeasedEnvelope:
    """The claimed envelope, marked ``redelivered`` where it was delivered before."""
    raw = LeasedEnvelope(claim.message, claim)
    if claim.redelivered:
        raw["redelivered"] = True
        properties = raw.get("properties")
        if isinstance(properties, dict):
            info = properties.get("delivery_info")
            info = dict(info) if isinstance(info, dict) else {}
            raw["properties"] = {**properties, "delivery_info": {**info, "redelivered": True}}
    return raw


def check(raw: object) -> None:
    """Raise :class:`InvalidEnvelope` unless ``raw`` can be made a message of."""
    if not isinstance(raw, dict) and not isinstance(raw, Mapping):
        raise InvalidEnvelope(f"not a message but {type(raw).__name__}")
    properties = raw.get("properties")
    if not isinstance(properties, dict) and not isinstance(properties, Mapping):
        raise InvalidEnvelope("message has no properties")
    if "delivery_tag" not in properties:
        raise InvalidEnvelope("message has no delivery_tag in its properties")
    headers = raw.get("headers")
    if headers and not isinstance(headers, dict) and not isinstance(headers, Mapping):
        raise InvalidEnvelope("headers of the message are not a mapping")


class Message(BaseMessage):
    """A message received through a virtual channel.

    Arguments:
        payload: the envelope.
        channel: where to acknowledge it.

    Raises:
        InvalidEnvelope: (also a KeyError and a ValueError) when the payload is no message.
    """

    __slots__ = ("_raw", "claim", "source_queue")

    def __init__(self, payload: Envelope, channel: Any = None, **kwargs: Any) -> None:
        properties = payload.get("properties") if type(payload) is dict else None
        if type(properties) is not dict or "delivery_tag" not in properties:
            check(payload)
            properties = payload["properties"]
        headers = payload.get("headers")
        if headers and not isinstance(headers, dict):
            check(payload)
        body = payload.get("body")
        if body:
            body = channel.decode_body(body, properties.get("body_encoding"))
        # What the base class does, without a call for each message that is received.
        self.errors = []
        self.channel = channel
        self.delivery_tag = properties["delivery_tag"]
        self.content_type = payload.get("content-type")
        self.content_encoding = payload.get("content-encoding")
        self.delivery_info = properties.get("delivery_info") or {}
        self.headers = headers or {}
        self.properties = properties
        self.accept = kwargs.get("accept")
        self._decoded_cache = None
        self._state = "RECEIVED"
        self.body = body
        if (headers and "compression" in headers) or type(body) is str:
            self._unpack("utf-8")
        self._raw = payload
        #: The lease this message is held under; ``None`` on channels with classic hooks.
        self.claim: Claim | None = payload.claim if type(payload) is LeasedEnvelope else None
        #: The queue it was taken from, where it goes back to.
        self.source_queue: str | None = None

    def serializable(self) -> Envelope:
        """The envelope to store again: body decompressed, ``compression`` header dropped.

        A body that could not be decompressed stays as it was, and so does its header.
        """
        properties = self.properties
        body, _ = self.channel.encode_body(self.body, properties.get("body_encoding"))
        if isinstance(body, bytes):
            body = body.decode("utf-8")
        headers = dict(self.headers or {})
        if not self.errors:
            headers.pop("compression", None)
        return {
            "body": body,
            "properties": properties,
            "content-type": self.content_type,
            "content-encoding": self.content_encoding,
            "headers": headers,
        }


def clamp_priority(value: Any, minimum: int = 0, maximum: int = 9, default: int = 0) -> int:
    """The priority of a message, forced into range; ``default`` for what is no number."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        return default
    return max(minimum, min(number, maximum))
