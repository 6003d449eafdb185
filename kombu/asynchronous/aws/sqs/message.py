"""SQS messages."""

from __future__ import annotations

import base64
from typing import Any

from ....message import Message
from ....utils.encoding import str_to_bytes

__all__ = ("AsyncMessage", "AsyncRawMessage", "BaseAsyncMessage")


class BaseAsyncMessage(Message):
    """A message of a queue."""


class AsyncRawMessage(BaseAsyncMessage):
    """A message whose body is sent as it is."""


class AsyncMessage(BaseAsyncMessage):
    """A message whose body is sent in base64."""

    def encode(self, value: str | bytes) -> str:
        """What is sent for a body."""
        return base64.b64encode(str_to_bytes(value)).decode()

    def __getitem__(self, item: str) -> Any:
        """Parts by name: ``id``, ``receipt_handle``, ``body``, else a property.

        Raises:
            KeyError: it has none of that name.
        """
        properties = self.properties or {}
        if item == "body" and self.body is not None:
            return self.body
        if item in ("receipt_handle", "ReceiptHandle") and self.delivery_tag is not None:
            return self.delivery_tag
        if item in ("id", "MessageId") and "message_id" in properties:
            return properties["message_id"]
        return properties[item]
