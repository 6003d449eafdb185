"""One SQS queue."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from vine import transform

from .message import AsyncMessage

__all__ = ("AsyncQueue",)


def list_first(rs: Any) -> Any:
    """The only element of a list, ``None`` when it has none or several."""
    return rs[0] if len(rs) == 1 else None


class AsyncQueue:
    """The operations of :class:`~.connection.AsyncSQSConnection` for one queue.

    Arguments:
        connection: the connection.
        url: the queue's URL.
        message_class: what messages are made of.
    """

    def __init__(
        self,
        connection: Any = None,
        url: str | None = None,
        message_class: Any = AsyncMessage,
    ) -> None:
        self.connection = connection
        self.url = url
        self.message_class = message_class
        self.visibility_timeout: int | None = None

    @property
    def id(self) -> str | None:
        """The queue's URL."""
        return self.url

    @property
    def name(self) -> str | None:
        """The last part of the URL."""
        return self.url.rpartition("/")[2] if self.url else None

    def get_attributes(self, attributes: str = "All", callback: Any = None) -> Any:
        """Attributes by name."""
        return self.connection.get_queue_attributes(self, attributes, callback)

    def set_attribute(self, attribute: str, value: Any, callback: Any = None) -> Any:
        """Set one attribute."""
        return self.connection.set_queue_attribute(self, attribute, value, callback)

    def get_timeout(self, callback: Any = None, _attr: str = "VisibilityTimeout") -> Any:
        """The visibility timeout in seconds."""
        return self.get_attributes(_attr, transform(self._number, callback, _attr))

    def set_timeout(self, visibility_timeout: int, callback: Any = None) -> Any:
        """Set the visibility timeout in seconds."""
        return self.set_attribute(
            "VisibilityTimeout",
            visibility_timeout,
            transform(self._on_timeout_set, callback, visibility_timeout),
        )

    def _on_timeout_set(self, seconds: int, status: Any) -> int:
        self.visibility_timeout = seconds
        return seconds

    def count(
        self,
        page_size: int = 10,
        vtimeout: int = 10,
        callback: Any = None,
        _attr: str = "ApproximateNumberOfMessages",
    ) -> Any:
        """How many messages there are, by SQS's own estimate."""
        return self.get_attributes(_attr, transform(self._number, callback, _attr))

    @staticmethod
    def _number(attribute: str, attributes: Mapping[str, Any]) -> int:
        return int((attributes.get("Attributes") or attributes)[attribute])

    def add_permission(
        self, label: str, aws_account_id: str, action_name: str, callback: Any = None
    ) -> Any:
        """Allow an account to do something."""
        return self.connection.add_permission(self, label, aws_account_id, action_name, callback)

    def remove_permission(self, label: str, callback: Any = None) -> Any:
        """Take a permission back."""
        return self.connection.remove_permission(self, label, callback)

    def read(
        self,
        visibility_timeout: int | None = None,
        wait_time_seconds: int | None = None,
        callback: Any = None,
    ) -> Any:
        """One message or ``None``."""
        return self.get_messages(
            1,
            visibility_timeout,
            wait_time_seconds=wait_time_seconds,
            callback=transform(list_first, callback),
        )

    def get_messages(
        self,
        num_messages: int = 1,
        visibility_timeout: int | None = None,
        attributes: Iterable[str] | None = None,
        wait_time_seconds: int | None = None,
        callback: Any = None,
    ) -> Any:
        """A list of up to ten messages."""
        return self.connection.receive_message(
            self,
            self.url,
            number_messages=num_messages,
            visibility_timeout=visibility_timeout,
            attributes=attributes,
            wait_time_seconds=wait_time_seconds,
            callback=transform(self._messages, callback),
        )

    def _messages(self, result: Any) -> list[Any]:
        return [self._message(fields) for fields in (result or {}).get("Messages") or ()]

    def _message(self, fields: Mapping[str, Any]) -> Any:
        body = fields.get("Body", "")
        if issubclass(self.message_class, AsyncMessage):
            try:
                body = base64.b64decode(body, validate=True)
            except (binascii.Error, ValueError):
                body = fields["Body"]  # written by someone who does not encode
        return self.message_class(
            body=body,
            delivery_tag=fields.get("ReceiptHandle"),
            properties={"message_id": fields.get("MessageId"), **fields.get("Attributes", {})},
        )

    def write(self, message: Any, delay_seconds: int | None = None, callback: Any = None) -> Any:
        """Send a message: an object of the message class, or a body."""
        return self.connection.send_message(self, self._encoded(message), delay_seconds, callback)

    def write_batch(self, messages: Iterable[tuple[str, Any, int]], callback: Any = None) -> Any:
        """Send up to ten ``(id, message, delay in seconds)``."""
        batch = [(ident, self._encoded(message), delay) for ident, message, delay in messages]
        return self.connection.send_message_batch(self, batch, callback)

    def _encoded(self, message: Any) -> Any:
        content = getattr(message, "body", message)
        if issubclass(self.message_class, AsyncMessage):
            return self.message_class(body=content).encode(content)
        return content

    def delete_message(self, message: Any, callback: Any = None) -> Any:
        """Delete a message that was received."""
        return self.connection.delete_message(self, message["receipt_handle"], callback)

    def delete_message_batch(self, messages: Iterable[Any], callback: Any = None) -> Any:
        """Delete up to ten messages that were received."""
        return self.connection.delete_message_batch(self, messages, callback)

    def change_message_visibility_batch(
        self, messages: Iterable[tuple[Any, int]], callback: Any = None
    ) -> Any:
        """Set how long messages stay hidden: ``(message, seconds)``."""
        return self.connection.change_message_visibility_batch(self, messages, callback)

    def delete(self, callback: Any = None) -> Any:
        """Delete the queue."""
        return self.connection.delete_queue(self, callback=callback)

    def _unsupported(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError("not available on an asynchronous queue")

    count_slow = clear = dump = _unsupported
    save = save_to_file = save_to_filename = save_to_s3 = _unsupported
    load = load_from_file = load_from_filename = load_from_s3 = _unsupported

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.url}>"
