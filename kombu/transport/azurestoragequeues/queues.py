"""The queues of one account: one canonical name each, made when needed, forgotten when gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueServiceClient

from kombu.transport.azure import error_code
from kombu.transport.azurestoragequeues.errors import ERRORS
from kombu.transport.azurestoragequeues.names import storage_name
from kombu.transport.azurestoragequeues.options import StorageQueueOptions

#: Seconds between two attempts to make a queue whose predecessor is still being deleted.
RETRY_PAUSE = 1.0
#: Most messages one call can bring.
LARGEST_RECEIVE = 32


class Queues:
    """Queues by the names the application uses.

    Arguments:
        service: closed by :meth:`close`.
    """

    def __init__(self, service: QueueServiceClient, options: StorageQueueOptions) -> None:
        self.service = service
        self.options = options
        self._lock = threading.Lock()
        self._clients: dict[str, QueueClient] = {}
        self._known: set[str] = set()

    def client(self, queue: str) -> QueueClient:
        with self._lock:
            client = self._clients.get(queue)
            if client is None:
                name = storage_name(queue, self.options.queue_name_prefix)
                client = self._clients[queue] = self.service.get_queue_client(name)
            return client

    def ensure(self, queue: str) -> QueueClient:
        """The client of a queue that is there, made if need be."""
        client = self.client(queue)
        if queue not in self._known:
            with ERRORS.mapped(f"create queue {queue!r}"):
                self._create(client)
            self._known.add(queue)
        return client

    def _create(self, client: QueueClient) -> None:
        deadline = time.monotonic() + self.options.recreate_timeout
        while True:
            try:
                client.create_queue()
                return
            except ResourceExistsError as exc:
                # Azure takes half a minute to delete a queue, and has no other of its name then.
                if error_code(exc) != "QueueBeingDeleted":
                    return
                if time.monotonic() >= deadline:
                    raise
            time.sleep(RETRY_PAUSE)

    def exists(self, queue: str) -> bool:
        with ERRORS.mapped(f"look up queue {queue!r}"):
            return self._count(queue) is not None

    def _count(self, queue: str) -> int | None:
        """Messages, hidden ones too; ``None`` where there is no such queue."""
        try:
            return int(self.client(queue).get_queue_properties().approximate_message_count or 0)
        except ResourceNotFoundError:
            self.forget(queue)
            return None

    def ready(self, queue: str, held: int) -> int:
        """Messages that can be received; beyond 32 an estimate.

        Arguments:
            held: how many of its messages this client holds, which the service counts, too.
        """
        with ERRORS.mapped(f"count queue {queue!r}"):
            try:
                seen = len(self.client(queue).peek_messages(max_messages=LARGEST_RECEIVE))
            except ResourceNotFoundError:
                return 0
            if seen < LARGEST_RECEIVE:
                return seen
            return max((self._count(queue) or 0) - held, seen)

    def receive(self, queue: str, limit: int, visibility: int) -> Sequence[Any]:
        """Up to ``limit`` messages, hidden from others for ``visibility`` seconds."""
        with ERRORS.mapped(f"receive from queue {queue!r}"):
            pages = (
                self.client(queue)
                .receive_messages(
                    messages_per_page=min(limit, LARGEST_RECEIVE), visibility_timeout=visibility
                )
                .by_page()
            )
            try:
                # One page is one call; going on to the next would ask an empty queue again.
                return list(next(pages, ()))
            except ResourceNotFoundError:
                self.forget(queue)
                return ()

    def clear(self, queue: str) -> None:
        with ERRORS.mapped(f"purge queue {queue!r}"):
            try:
                self.client(queue).clear_messages()
            except ResourceNotFoundError:
                self.forget(queue)

    def delete(self, queue: str) -> None:
        with ERRORS.mapped(f"delete queue {queue!r}"):
            try:
                self.client(queue).delete_queue()
            except ResourceNotFoundError:
                pass
            except HttpResponseError as exc:
                if error_code(exc) != "QueueBeingDeleted":
                    raise
        self.forget(queue)

    def forget(self, queue: str) -> None:
        """Don't rely on its being there: it was deleted, by us or behind our back."""
        self._known.discard(queue)

    def close(self) -> None:
        self.service.close()
