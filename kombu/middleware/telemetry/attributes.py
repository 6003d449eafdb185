"""What spans and metrics say about where a message goes: names of the semantic conventions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from kombu.utils.logfields import without_credentials

SYSTEM = "messaging.system"
OPERATION_NAME = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
DESTINATION = "messaging.destination.name"
DESTINATION_TEMPLATE = "messaging.destination.template"
ROUTING_KEY = "messaging.rabbitmq.destination.routing_key"
DELIVERY_TAG = "messaging.rabbitmq.message.delivery_tag"
MESSAGE_ID = "messaging.message.id"
CONVERSATION_ID = "messaging.message.conversation_id"
BODY_SIZE = "messaging.message.body.size"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
ERROR_TYPE = "error.type"

#: ``driver_type`` of a transport -> well-known value of ``messaging.system``.
_SYSTEMS = {
    "amqp": "rabbitmq",
    "sqs": "aws_sqs",
    "azureservicebus": "servicebus",
    "gcpubsub": "gcp_pubsub",
    "confluentkafka": "kafka",
}

#: Parts of names that differ from process to process.
_UNIQUE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|amq\.gen-[\w-]+|[0-9a-f]{32}"
)


class Place:
    """A destination: its attributes, and the name of few values for spans and metrics.

    What is handed out is shared, as making it takes longer than what it is about: copy it
    before changing it.

    Arguments:
        measured: attributes that metrics have, too.
        described: all attributes.
    """

    __slots__ = ("_measured", "_traced", "described", "measured", "name")

    def __init__(self, name: str, measured: dict[str, Any], described: dict[str, Any]) -> None:
        self.name = name
        self.measured = measured
        self.described = described
        self._measured: dict[str, dict[str, Any]] = {}
        self._traced: dict[str, dict[str, Any]] = {}

    def measured_at(self, operation: str, kind: str) -> dict[str, Any]:
        """Attributes of a measurement of one operation."""
        found = self._measured.get(operation)
        if found is None:
            of = {OPERATION_NAME: operation, OPERATION_TYPE: kind}
            found = self._measured[operation] = {**self.measured, **of}
        return found

    def traced_at(self, operation: str, kind: str) -> dict[str, Any]:
        """Attributes of a span of one operation."""
        found = self._traced.get(operation)
        if found is None:
            of = {OPERATION_NAME: operation, OPERATION_TYPE: kind}
            found = self._traced[operation] = {**self.described, **of}
        return found


def place_of(connection: Any, exchange: str, routing_key: str, queue: str | None = None) -> Place:
    """Where a message goes, or where it came from.

    Arguments:
        queue: of a message that was received.
    """
    if connection is None:
        return _place("unknown", None, None, exchange, routing_key, queue)
    return _place(
        connection.transport.driver_type, connection.hostname, connection.port,
        exchange or "", routing_key or "", queue,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _place(
    driver: str,
    hostname: str | None,
    port: int | None,
    exchange: str,
    routing_key: str,
    queue: str | None,
) -> Place:
    host = without_credentials(hostname)
    parts = [exchange, routing_key]
    if queue is not None and queue != routing_key:
        parts.append(queue)
    name = ":".join(filter(None, parts)) or "amq.default"
    template = _UNIQUE.sub("{id}", name)
    measured: dict[str, Any] = {SYSTEM: _SYSTEMS.get(driver, driver), DESTINATION: template}
    if host:
        measured[SERVER_ADDRESS] = host
    if port:
        measured[SERVER_PORT] = int(port)
    described = {**measured, DESTINATION: name}
    if template != name:
        described[DESTINATION_TEMPLATE] = template
    if routing_key:
        described[ROUTING_KEY] = routing_key
    return Place(template, measured, described)


def of_message(properties: Mapping[str, Any], body: Any) -> dict[str, Any]:
    """Attributes of one message."""
    found: dict[str, Any] = {}
    if properties.get("message_id"):
        found[MESSAGE_ID] = str(properties["message_id"])
    if properties.get("correlation_id"):
        found[CONVERSATION_ID] = str(properties["correlation_id"])
    if isinstance(body, (bytes, str)):
        found[BODY_SIZE] = len(body)
    return found


def error_type(error: BaseException) -> str:
    """``error.type`` of an exception."""
    kind = type(error)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
