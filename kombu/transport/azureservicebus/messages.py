"""An envelope as Service Bus carries it, and back."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from azure.servicebus import ServiceBusMessage

from kombu.transport.virtual.envelope import foreign, parse
from kombu.transport.virtual.store import Envelope, Put
from kombu.utils.json import dumps

#: What is told of a message on delivery, and not stored.
DELIVERY_NOTES = ("azure_message", "azure_queue_name")


def write(put: Put, dead_lettered: bool = True) -> ServiceBusMessage:
    """The message that is sent: its body is the envelope as JSON, as published peers write it.

    Arguments:
        dead_lettered: what expires is wanted, so that the service must not drop it itself.
    """
    message = ServiceBusMessage(dumps(stored(put.message)))
    now = datetime.now(timezone.utc)
    if put.ready_at is not None:
        due = datetime.fromtimestamp(put.ready_at, timezone.utc)
        if due > now:
            message.scheduled_enqueue_time_utc = due
            now = due
    if put.expires_at is not None and not dead_lettered:
        expires = datetime.fromtimestamp(put.expires_at, timezone.utc)
        message.time_to_live = max(expires - now, timedelta(milliseconds=1))
    return message


def stored(message: Envelope) -> Envelope:
    """The envelope without what only a delivery has."""
    info = message["properties"].get("delivery_info")
    if not isinstance(info, dict) or not any(note in info for note in DELIVERY_NOTES):
        return message
    kept = {key: value for key, value in info.items() if key not in DELIVERY_NOTES}
    return {**message, "properties": {**message["properties"], "delivery_info": kept}}


def read(received: Any, entity: str) -> Envelope:
    """The envelope of a received message. What no kombu wrote becomes a message of that text."""
    body = received.body
    raw = body if isinstance(body, bytes | str) else b"".join(body)
    message = parse(raw)
    if message is None:
        message = foreign(raw if isinstance(raw, str) else raw.decode("utf-8", "replace"))
    properties = message["properties"]
    info = properties.get("delivery_info")
    properties["delivery_info"] = {
        **(info if isinstance(info, dict) else {}),
        "azure_message": received,
        "azure_queue_name": entity,
    }
    return message
