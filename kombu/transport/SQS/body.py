"""An envelope as SQS carries it, and back; foreign texts become messages, too."""

from __future__ import annotations

import base64
import binascii
import math
import time
from typing import Any
from uuid import uuid4

from kombu.transport.virtual.envelope import foreign, noting, parse
from kombu.transport.virtual.store import Envelope, Put
from kombu.utils.json import dumps

LONGEST_DELAY = 900


def write_body(message: Envelope, as_base64: bool) -> str:
    """The text SQS stores. ``message_attributes`` travel beside it, not in it."""
    properties = message["properties"]
    if "message_attributes" in properties:
        rest = {key: value for key, value in properties.items() if key != "message_attributes"}
        message = {**message, "properties": rest}
    text = dumps(message)
    return base64.b64encode(text.encode()).decode("ascii") if as_base64 else text


def plain_text(body: str) -> str:
    """The text behind base64, where it is base64 of text, else the body as it is."""
    try:
        raw = base64.b64decode(body, validate=True)
        text = raw.decode("utf-8")
    except (binascii.Error, ValueError):
        return body
    return text if base64.b64encode(raw).decode("ascii") == body else body


def read_body(body: str) -> Envelope:
    """The message in a body. What no kombu wrote becomes a message whose body is that text."""
    text = plain_text(body)
    message = parse(text)
    return foreign(text) if message is None else message


def send_options(put: Put, fifo: bool) -> dict[str, Any]:
    """Parameters of SendMessage (or of one entry of a batch) besides the body."""
    properties = put.message["properties"]
    options: dict[str, Any] = {}
    if fifo:
        options["MessageGroupId"] = properties.get("MessageGroupId") or "default"
        options["MessageDeduplicationId"] = deduplication_id(put.message)
    else:
        if properties.get("MessageGroupId"):
            options["MessageGroupId"] = properties["MessageGroupId"]
        delay = delay_seconds(put)
        if delay > 0:
            options["DelaySeconds"] = delay
    if properties.get("message_attributes"):
        options["MessageAttributes"] = properties["message_attributes"]
    return options


def deduplication_id(message: Envelope) -> str:
    """Two sent with one within five minutes are one to SQS: a dead letter must not be the same."""
    given = message["properties"].get("MessageDeduplicationId")
    if not given:
        return str(uuid4())
    deaths = (message.get("headers") or {}).get("x-death")
    times = sum(death.get("count", 1) for death in deaths) if isinstance(deaths, list) else 0
    return f"{str(given)[:117]}-{times}" if times else str(given)


def delay_seconds(put: Put) -> int:
    properties = put.message["properties"]
    asked = properties.get("delay_seconds", properties.get("DelaySeconds", 0))
    seconds = int(asked) if isinstance(asked, int | float) else 0
    if put.ready_at is not None:
        seconds = max(seconds, math.ceil(put.ready_at - time.time()))
    return min(max(seconds, 0), LONGEST_DELAY)


def with_ready_at(put: Put, fifo: bool) -> Envelope:
    """The message, noting when it is ready where the queue can't be told (FIFO, over 15 min)."""
    message = put.message
    if put.ready_at is None:
        return message
    if not fifo and put.ready_at - time.time() <= LONGEST_DELAY:
        return message
    return noting(message, put.ready_at)
