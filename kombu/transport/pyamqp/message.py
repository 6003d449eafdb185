"""Messages: as they come off the wire, and as applications see them."""

from __future__ import annotations

from typing import Any

from amqp.basic_message import Message as AMQPMessage

from ..base import Message as BaseMessage

__all__ = ("Delivery", "Message")


class Delivery(AMQPMessage):
    """What py-amqp's callbacks are given, made without its detours."""

    def __init__(
        self,
        body: Any,
        properties: dict[str, Any],
        delivery_info: dict[str, Any] | None,
        channel: Any,
    ) -> None:
        self.body = body
        self.properties = properties
        self.delivery_info = delivery_info
        self.channel = channel
        self.frame_method: tuple[int, int] | None = None
        self.frame_args: bytes | None = None
        self.ready = True


class Message(BaseMessage):
    """A message from an AMQP broker.

    Arguments:
        msg: the message as the driver delivers it.
        channel: the channel that it is acknowledged on.
    """

    def __init__(self, msg: Any, channel: Any = None, **kwargs: Any) -> None:
        properties = msg.properties
        info = msg.delivery_info or {}
        super().__init__(
            body=msg.body,
            channel=channel,
            delivery_tag=info.get("delivery_tag"),
            content_type=properties.get("content_type"),
            content_encoding=properties.get("content_encoding"),
            delivery_info=info,
            properties=properties,
            headers=properties.get("application_headers"),
            **kwargs,
        )
