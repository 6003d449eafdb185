"""Messages for display: nothing is deserialized that could run code."""

from __future__ import annotations

import base64
import json
from typing import Any

from kombu.exceptions import ContentDisallowed, DecodeError

#: What is decoded; other bodies are shown as they are.
SAFE = ("json", "application/json", "text/plain", "application/data")


def body_of(message: Any) -> tuple[Any, bool]:
    """A message's body, and whether it could be decoded; if not, its bytes or text."""
    try:
        return message.decode(), True
    except (ContentDisallowed, DecodeError, LookupError):
        return message.body, False


def as_record(message: Any) -> dict[str, Any]:
    """A message as JSON can hold it; bytes become base64 under ``body_base64``."""
    body, decoded = body_of(message)
    info = message.delivery_info
    record: dict[str, Any] = {
        "exchange": info.get("exchange"),
        "routing_key": info.get("routing_key"),
        "redelivered": bool(info.get("redelivered")),
        "content_type": message.content_type,
        "headers": _named(message.headers),
        "properties": message.properties,
        "decoded": decoded,
    }
    if isinstance(body, (bytes, bytearray, memoryview)):
        record["body_base64"] = base64.b64encode(bytes(body)).decode()
    else:
        record["body"] = body
    return record


def _named(value: Any) -> Any:
    """Tables whose names are all text; AMQP's may be bytes."""
    if isinstance(value, dict):
        names = (
            name.decode(errors="backslashreplace") if isinstance(name, bytes) else name
            for name in value
        )
        return dict(zip(names, map(_named, value.values()), strict=True))
    return [_named(item) for item in value] if isinstance(value, list) else value


def as_line(message: Any) -> str:
    """A message's body on one line."""
    body, decoded = body_of(message)
    if isinstance(body, (bytes, bytearray, memoryview)):
        body = bytes(body).decode(errors="backslashreplace")
    line = body.replace("\n", "\\n") if isinstance(body, str) else json.dumps(body, default=str)
    return line if decoded else f"[{message.content_type}] {line}"
