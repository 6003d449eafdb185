"""What is published is what arrives: bodies, headers, properties."""

from __future__ import annotations

from typing import Any

import pytest

from kombu import serialization
from kombu.testing.conformance.base import Conformance
from kombu.testing.conformance.harness import Harness, Inbox

PAYLOAD: dict[str, Any] = {
    "text": "żółć 漢字 \N{PILE OF POO}",
    "number": 17,
    "nested": [1, None, True, {"a": 0.5}],
}


def _installed(name: str) -> bool:
    return name in serialization.registry.name_to_type


class Bodies(Conformance):
    """Round trips."""

    @pytest.mark.parametrize(
        "serializer", [s for s in ("json", "yaml", "pickle", "msgpack") if _installed(s)]
    )
    def test_serializers(self, harness: Harness, channel: Any, queue: Any, serializer: str) -> None:
        harness.put(channel, queue, PAYLOAD, serializer=serializer)
        message = harness.get(queue, accept=[serializer])
        assert message.payload == PAYLOAD
        assert message.content_type == serialization.registry.name_to_type[serializer]
        message.ack()

    @pytest.mark.parametrize("compression", ["gzip", "bzip2"])
    def test_compressions(
        self, harness: Harness, channel: Any, queue: Any, compression: str
    ) -> None:
        body = {"long": "again and again " * 500}
        harness.put(channel, queue, body, compression=compression)
        message = harness.get(queue)
        assert message.payload == body
        assert message.headers["compression"]
        message.ack()

    def test_raw_bytes(self, harness: Harness, channel: Any, queue: Any) -> None:
        body = bytes(range(256))
        harness.put(
            channel, queue, body, content_type="application/data", content_encoding="binary"
        )
        message = harness.get(queue, accept=["application/data"])
        assert bytes(message.body) == body
        message.ack()

    def test_text(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, "naïve ☃", content_type="text/plain", content_encoding="utf-8")
        message = harness.get(queue, accept=["text/plain"])
        assert message.payload == "naïve ☃"
        assert message.content_type == "text/plain"
        assert message.content_encoding == "utf-8"
        message.ack()

    def test_empty_body(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, b"", content_type="application/data", content_encoding="binary")
        message = harness.get(queue)
        assert bytes(message.body or b"") == b""
        message.ack()

    def test_headers(self, harness: Harness, channel: Any, queue: Any) -> None:
        headers = {"text": "ä", "number": 3, "flag": True, "list": [1, "b"], "map": {"deep": "er"}}
        harness.put(channel, queue, "body", headers=headers)
        message = harness.get(queue)
        assert {name: message.headers[name] for name in headers} == headers
        message.ack()

    def test_properties(self, harness: Harness, channel: Any, queue: Any) -> None:
        properties = {"correlation_id": "c-1", "reply_to": "r-1", "message_id": "m-1", "type": "t"}
        harness.put(channel, queue, "body", **properties)
        message = harness.get(queue)
        assert {name: message.properties.get(name) for name in properties} == properties
        message.ack()

    def test_properties_survive_a_requeue(self, harness: Harness, channel: Any, queue: Any) -> None:
        harness.put(channel, queue, PAYLOAD, headers={"h": 1}, correlation_id="c-2")
        harness.get(queue).requeue()
        message = harness.get(queue)
        assert (message.payload, message.headers["h"]) == (PAYLOAD, 1)
        assert message.properties["correlation_id"] == "c-2"
        message.ack()

    def test_the_publishers_headers_are_not_changed(
        self, harness: Harness, channel: Any, queue: Any
    ) -> None:
        headers: dict[str, Any] = {"mine": 1}
        harness.put(channel, queue, "body", headers=headers, compression="gzip")
        assert headers == {"mine": 1}
        assert harness.take(queue, 1) == ["body"]

    def test_consumed_through_callbacks(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        received: list[Any] = []

        def callback(body: Any, message: Any) -> None:
            received.append(body)
            message.ack()

        with channel.Consumer([queue], callbacks=[callback], accept=["json"]):
            harness.put(channel, queue, PAYLOAD)
            harness.until(lambda: received, connection)
        assert received == [PAYLOAD]

    def test_content_type_that_is_not_accepted_stays(
        self, harness: Harness, connection: Any, channel: Any, queue: Any
    ) -> None:
        from kombu.exceptions import ContentDisallowed

        harness.put(channel, queue, PAYLOAD, serializer="pickle")
        inbox = Inbox(channel, queue, accept=["json"])
        harness.until(inbox.has(1), connection)
        with pytest.raises(ContentDisallowed):
            inbox.messages[0].decode()
        channel.close()
        harness.has_size(queue(connection.channel()), 1)
