"""Queue URLs: one canonical name a queue, found, made and forgotten in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from kombu.transport.SQS.clients import Clients
from kombu.transport.SQS.errors import ERRORS, is_unknown_queue
from kombu.transport.SQS.exceptions import (
    DoesNotExistQueueException,
    InvalidQueueException,
    UndefinedQueueException,
)
from kombu.transport.SQS.names import aws_name, is_fifo
from kombu.transport.SQS.options import SQSOptions

DEFAULT_VISIBILITY_TIMEOUT = 1800
SMALLEST_LIMIT = 262_144


class Queues:
    """The queues of one connection, by the names the application uses."""

    def __init__(self, clients: Clients, options: SQSOptions) -> None:
        self.clients = clients
        self.options = options
        self._urls: dict[str, str] = {}
        self._redrives: dict[str, bool] = {}
        self._limits: dict[str, int] = {}
        #: Told the names of queues that we deleted.
        self.on_deleted: Callable[[str], None] = lambda queue: None

    @property
    def predefined(self) -> bool:
        return bool(self.options.predefined_queues)

    def find(self, queue: str) -> str | None:
        """The URL, ``None`` if AWS knows no such queue."""
        if self.predefined:
            return self._predefined_url(queue)
        url = self._urls.get(queue)
        if url is None:
            name = aws_name(queue, self.options.queue_name_prefix)
            with ERRORS.mapped(f"look up queue {queue!r}"):
                url = self._get_url(queue, name)
            if url is not None:
                self._urls[queue] = url
        return url

    def _get_url(self, queue: str, name: str) -> str | None:
        try:
            return str(self.clients.sqs(queue).get_queue_url(QueueName=name)["QueueUrl"])
        except ClientError as exc:
            if is_unknown_queue(exc):
                return None
            raise

    def _predefined_url(self, queue: str) -> str:
        definition = self.options.predefined_queues.get(queue)
        if definition is None:
            raise UndefinedQueueException(
                f"queue {queue!r} is not among those of option predefined_queues"
            )
        if not definition.get("url"):
            raise InvalidQueueException(f"predefined queue {queue!r} has no url")
        return str(definition["url"])

    def url(self, queue: str) -> str:
        """The URL of a queue that must be there.

        Raises:
            DoesNotExistQueueException: it is not.
        """
        found = self.find(queue)
        if found is None:
            raise DoesNotExistQueueException(f"queue {queue!r} does not exist in SQS")
        return found

    def ensure(self, queue: str) -> str:
        """The URL, of a new queue if need be."""
        url = self.find(queue)
        if url is None:
            name = aws_name(queue, self.options.queue_name_prefix)
            timeout = self.options.visibility_timeout or DEFAULT_VISIBILITY_TIMEOUT
            attributes = {"VisibilityTimeout": str(int(timeout))}
            if is_fifo(name):
                attributes["FifoQueue"] = "true"
            attributes.update(
                {key: str(value) for key, value in self.options.sqs_creation_attributes.items()}
            )
            parameters: dict[str, Any] = {"QueueName": name, "Attributes": attributes}
            if self.options.queue_tags:
                parameters["tags"] = dict(self.options.queue_tags)
            with ERRORS.mapped(f"create queue {queue!r}"):
                url = str(self.clients.sqs(queue).create_queue(**parameters)["QueueUrl"])
            self._urls[queue] = url
        return url

    def deleted(self, queue: str) -> None:
        """It was deleted by us: nothing is to be sent to it any more."""
        self.forget(queue)
        self.on_deleted(queue)

    def forget(self, queue: str) -> None:
        """Don't rely on what was known: it was deleted, by us or behind our back."""
        self._urls.pop(queue, None)
        self._redrives.pop(queue, None)
        self._limits.pop(queue, None)

    def attribute(self, queue: str, name: str) -> str | None:
        with ERRORS.mapped(f"read {name} of queue {queue!r}"):
            answer = self.clients.sqs(queue).get_queue_attributes(
                QueueUrl=self.url(queue), AttributeNames=[name]
            )
        value = answer.get("Attributes", {}).get(name)
        return None if value is None else str(value)

    def has_redrive_policy(self, queue: str) -> bool:
        """Whether SQS itself dead-letters what is received too often."""
        if queue not in self._redrives:
            self._redrives[queue] = bool(self.attribute(queue, "RedrivePolicy"))
        return self._redrives[queue]

    def size_limit(self, queue: str) -> int:
        """Bytes one message may have."""
        if queue not in self._limits:
            self._limits[queue] = int(self.attribute(queue, "MaximumMessageSize") or SMALLEST_LIMIT)
        return self._limits[queue]
