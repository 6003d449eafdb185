"""The SQS API on the event loop.

A queue is given as its URL or as an :class:`~.queue.AsyncQueue`. Each method returns a promise
of the API's result (a dict), or of the HTTP status where the API has no result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vine import transform

from ..connection import AsyncAWSQueryConnection
from .queue import AsyncQueue

__all__ = ("AsyncSQSConnection",)

#: System attributes that are asked for when nothing else is said.
DEFAULT_SYSTEM_ATTRIBUTES = ("ApproximateReceiveCount",)


class AsyncSQSConnection(AsyncAWSQueryConnection):
    """SQS, non-blocking.

    Arguments:
        sqs_connection: a boto3 client.
        debug: taken for compatibility.
        region: taken for compatibility; the client knows its own.
        message_system_attribute_names: system attributes asked for with each receive.
        message_attribute_names: message attributes asked for with each receive.
        **kwargs: ``http_client``.
    """

    def __init__(
        self,
        sqs_connection: Any,
        debug: int = 0,
        region: str | None = None,
        message_system_attribute_names: Iterable[str] | None = None,
        message_attribute_names: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(sqs_connection, **kwargs)
        self.message_system_attribute_names = list(
            message_system_attribute_names or DEFAULT_SYSTEM_ATTRIBUTES
        )
        self.message_attribute_names = list(message_attribute_names or ())

    def make_request(
        self,
        operation_name: str | None,
        params: Mapping[str, Any] | None,
        queue_url: str,
        verb: str,
        callback: Any = None,
        protocol_params: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Any:
        """Send an operation; ``callback`` is called with the HTTP response."""
        return super().make_request(
            operation_name, params, queue_url, verb, callback, protocol_params
        )

    def create_queue(
        self, queue_name: str, visibility_timeout: int | None = None, callback: Any = None
    ) -> Any:
        """Create a queue; the result has its ``QueueUrl``."""
        params: dict[str, Any] = {"QueueName": queue_name}
        if visibility_timeout is not None:
            params["Attributes"] = {"VisibilityTimeout": str(visibility_timeout)}
        return self.get_object("CreateQueue", params, callback=callback)

    def delete_queue(self, queue: Any, force_deletion: bool = False, callback: Any = None) -> Any:
        """Delete a queue; SQS deletes whether or not it is empty."""
        return self.get_status("DeleteQueue", None, _url(queue), callback=callback)

    def get_queue_url(self, queue: str) -> str:
        """The URL of a queue, by its name. Blocks."""
        url: str = self.sqs_connection.get_queue_url(QueueName=queue)["QueueUrl"]
        return url

    def get_queue_attributes(self, queue: Any, attribute: str = "All", callback: Any = None) -> Any:
        """The result's ``Attributes`` are texts by name."""
        return self.get_object(
            "GetQueueAttributes", {"AttributeNames": [attribute]}, _url(queue), callback=callback
        )

    def set_queue_attribute(
        self, queue: Any, attribute: str, value: Any, callback: Any = None
    ) -> Any:
        """Set one attribute."""
        return self.get_status(
            "SetQueueAttributes",
            {"Attributes": {attribute: str(value)}},
            _url(queue),
            callback=callback,
        )

    def receive_message(
        self,
        queue: Any,
        queue_url: str | None,
        number_messages: int = 1,
        visibility_timeout: int | None = None,
        attributes: Iterable[str] | None = None,
        wait_time_seconds: int | None = None,
        callback: Any = None,
    ) -> Any:
        """Receive up to ten messages.

        Arguments:
            queue: its name, not used when ``queue_url`` is given.
            queue_url: its URL.
            visibility_timeout: seconds for which they stay hidden from others.
            attributes: system attributes to receive, default those of the connection.
            wait_time_seconds: how long SQS waits for a message, up to 20.
        """
        params: dict[str, Any] = {"MaxNumberOfMessages": number_messages}
        if visibility_timeout is not None:
            params["VisibilityTimeout"] = visibility_timeout
        if wait_time_seconds is not None:
            params["WaitTimeSeconds"] = wait_time_seconds
        params["MessageSystemAttributeNames"] = list(
            attributes or self.message_system_attribute_names
        )
        if self.message_attribute_names:
            params["MessageAttributeNames"] = self.message_attribute_names
        return self.get_list(
            "ReceiveMessage", params, None, queue_url or _url(queue), callback=callback
        )

    def delete_message(self, queue: Any, receipt_handle: str, callback: Any = None) -> Any:
        """Delete a message that was received."""
        return self.delete_message_from_handle(queue, receipt_handle, callback)

    def delete_message_from_handle(
        self, queue: Any, receipt_handle: str, callback: Any = None
    ) -> Any:
        """Delete a message that was received."""
        return self.get_status(
            "DeleteMessage", {"ReceiptHandle": receipt_handle}, _url(queue), callback=callback
        )

    def delete_message_batch(
        self, queue: Any, messages: Iterable[Any], callback: Any = None
    ) -> Any:
        """Delete up to ten messages; the result says which ``Failed``."""
        entries = [
            {"Id": str(position), "ReceiptHandle": _receipt_handle(message)}
            for position, message in enumerate(messages)
        ]
        return self.get_object(
            "DeleteMessageBatch", {"Entries": entries}, _url(queue), verb="POST", callback=callback
        )

    def send_message(
        self,
        queue: Any,
        message_content: str,
        delay_seconds: int | None = None,
        callback: Any = None,
    ) -> Any:
        """Send one message."""
        params: dict[str, Any] = {"MessageBody": message_content}
        if delay_seconds:
            params["DelaySeconds"] = int(delay_seconds)
        return self.get_object("SendMessage", params, _url(queue), verb="POST", callback=callback)

    def send_message_batch(
        self, queue: Any, messages: Iterable[tuple[str, str, int]], callback: Any = None
    ) -> Any:
        """Send up to ten ``(id, body, delay in seconds)``; the result says which ``Failed``."""
        entries = [
            {"Id": ident, "MessageBody": body, "DelaySeconds": int(delay or 0)}
            for ident, body, delay in messages
        ]
        return self.get_object(
            "SendMessageBatch", {"Entries": entries}, _url(queue), verb="POST", callback=callback
        )

    def change_message_visibility(
        self, queue: Any, receipt_handle: str, visibility_timeout: int, callback: Any = None
    ) -> Any:
        """Set how long a message that was received stays hidden, in seconds."""
        return self.get_status(
            "ChangeMessageVisibility",
            {"ReceiptHandle": receipt_handle, "VisibilityTimeout": int(visibility_timeout)},
            _url(queue),
            callback=callback,
        )

    def change_message_visibility_batch(
        self, queue: Any, messages: Iterable[tuple[Any, int]], callback: Any = None
    ) -> Any:
        """The same for up to ten ``(message, seconds)``; the result says which ``Failed``."""
        entries = [
            {
                "Id": str(position),
                "ReceiptHandle": _receipt_handle(message),
                "VisibilityTimeout": int(seconds),
            }
            for position, (message, seconds) in enumerate(messages)
        ]
        return self.get_object(
            "ChangeMessageVisibilityBatch",
            {"Entries": entries},
            _url(queue),
            verb="POST",
            callback=callback,
        )

    def get_all_queues(self, prefix: str = "", callback: Any = None) -> Any:
        """The result's ``QueueUrls`` are those whose name begins with ``prefix``."""
        params = {"QueueNamePrefix": prefix} if prefix else {}
        return self.get_list("ListQueues", params, None, callback=callback)

    def get_queue(self, queue_name: str, callback: Any = None) -> Any:
        """The :class:`~.queue.AsyncQueue` of that name, or ``None``."""
        return self.get_all_queues(queue_name, transform(self._named, callback, queue_name))

    lookup = get_queue

    def _named(self, queue_name: str, result: Any) -> AsyncQueue | None:
        for url in (result or {}).get("QueueUrls") or ():
            if url.rpartition("/")[2] == queue_name:
                return AsyncQueue(self, url)
        return None

    def get_dead_letter_source_queues(self, queue: Any, callback: Any = None) -> Any:
        """The result's ``queueUrls`` are those whose dead letters go to this one."""
        return self.get_list(
            "ListDeadLetterSourceQueues", None, None, _url(queue), callback=callback
        )

    def add_permission(
        self,
        queue: Any,
        label: str,
        aws_account_id: str,
        action_name: str,
        callback: Any = None,
    ) -> Any:
        """Allow an account to do something."""
        return self.get_status(
            "AddPermission",
            {"Label": label, "AWSAccountIds": [aws_account_id], "Actions": [action_name]},
            _url(queue),
            callback=callback,
        )

    def remove_permission(self, queue: Any, label: str, callback: Any = None) -> Any:
        """Take a permission back."""
        return self.get_status("RemovePermission", {"Label": label}, _url(queue), callback=callback)


def _url(queue: Any) -> str:
    if isinstance(queue, str):
        return queue
    url = getattr(queue, "url", None) or getattr(queue, "id", None)
    if not url:
        raise ValueError(f"no queue URL: {queue!r}")
    return str(url)


def _receipt_handle(message: Any) -> str:
    """Of one of our messages, a dict as the API gives it, or an object."""
    for name in ("receipt_handle", "ReceiptHandle"):
        try:
            return str(message[name])
        except (KeyError, TypeError):
            continue
    handle = getattr(message, "receipt_handle", None) or getattr(message, "delivery_tag", None)
    if not handle:
        raise ValueError(f"message has no receipt handle: {message!r}")
    return str(handle)
