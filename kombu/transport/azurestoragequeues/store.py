"""Azure Storage Queues as a store of leased messages: the visibility timeout is the lease."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from amqp.exceptions import NotFound
from azure.core.exceptions import HttpResponseError

from kombu.transport.azure import error_code
from kombu.transport.azurestoragequeues.errors import ERRORS
from kombu.transport.azurestoragequeues.queues import LARGEST_RECEIVE, Queues
from kombu.transport.features import SHARED_STORE
from kombu.transport.patience import Patience
from kombu.transport.polling import LongPollStore, unsettled
from kombu.transport.virtual.envelope import foreign, noting, parse, ready_in
from kombu.transport.virtual.errors import message_too_large
from kombu.transport.virtual.steps import PrioritySteps
from kombu.transport.virtual.store import Claim, Put, QueueSpec, raise_failed
from kombu.utils.json import dumps

logger = logging.getLogger(__name__)

LARGEST_MESSAGE = 65_536
LONGEST_VISIBILITY = 7 * 24 * 3600
NEVER_EXPIRES = -1
#: Seconds that one wait in the background goes on, though nobody may be waiting any more.
WAIT_SECONDS = 10
#: The service's words for a receipt that does not count any more.
LOST = ("MessageNotFound", "PopReceiptMismatch", "QueueNotFound", "QueueBeingDeleted")


class Receipt:
    """What settles one holding of a message, once; renewing it changes the pop receipt."""

    __slots__ = ("identifier", "lock", "pop", "settled", "source")

    def __init__(self, source: str, identifier: str, pop: str) -> None:
        self.source = source
        self.identifier = identifier
        self.pop = pop
        self.settled = False
        self.lock = threading.Lock()


class StorageQueueStore(LongPollStore):
    """Messages in queues of a storage account; a queue with priorities is one queue a step.

    Arguments:
        queues: closed by this store.
        interval: the longest pause between two looks, asked before each.
    """

    features = replace(
        SHARED_STORE,
        max_length_bytes=False,
        ordered=False,
        batch_publish=False,
        event_loop=True,
        purge_spares_held=False,
    )
    claim_window = LARGEST_RECEIVE
    closing_time = 5.0

    def __init__(self, queues: Queues, interval: Callable[[], float]) -> None:
        self.queues = queues
        self.options = queues.options
        self.lease: float = max(self.options.lease, 1.0)
        self.patience = Patience(self._take, interval)
        self._requests: ThreadPoolExecutor | None = None
        self._dead_lettered_above: dict[str, bool] = {}
        self._held: dict[str, int] = defaultdict(int)
        super().__init__(WAIT_SECONDS, self.lease / 3, PrioritySteps())

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        self.steps.declare(queue)
        self._dead_lettered_above[queue.name] = "x-dead-letter-exchange" in queue.arguments
        for source in self.steps.sources(queue.name):
            self.queues.ensure(source)

    def delete(self, queue: str) -> int:
        count = self.size(queue)
        for source in self.steps.sources(queue):
            self.queues.delete(source)
        self._deleted(queue)
        self._dead_lettered_above.pop(queue, None)
        return count

    def exists(self, queue: str) -> bool:
        return self.queues.exists(queue)

    def size(self, queue: str) -> int:
        sources = self.steps.sources(queue)
        return sum(self.queues.ready(source, self._held[source]) for source in sources)

    def purge(self, queue: str) -> int:
        count = self.size(queue)
        for source in self.steps.sources(queue):
            self.queues.clear(source)
        return count

    # ---- sending

    def put(self, puts: Sequence[Put]) -> None:
        by_source = self._by_source(puts)
        failed: dict[int, BaseException] = {}

        def send(source: str) -> None:
            for index in by_source[source]:  # one after another, for their order
                try:
                    self._send(source, puts[index])
                except Exception as exc:  # noqa: BLE001 - reported with its index
                    failed[index] = exc

        self._each(send, list(by_source))
        self.patience.ring()
        raise_failed(puts, failed)

    def _send(self, source: str, put: Put) -> None:
        message, delay = put.message, 0
        if put.ready_at is not None:
            delay = max(math.ceil(put.ready_at - time.time()), 0)
            if delay > LONGEST_VISIBILITY:
                message, delay = noting(message, put.ready_at), LONGEST_VISIBILITY
        text = dumps(message)
        size = len(text.encode())
        if size > LARGEST_MESSAGE:
            raise message_too_large(size, put.queue, LARGEST_MESSAGE, "Azure Storage Queues")
        for attempt in (1, 2):
            client = self.queues.ensure(source)
            try:
                with ERRORS.mapped(f"send to queue {put.queue!r}"):
                    client.send_message(
                        text, visibility_timeout=delay, time_to_live=self._lifetime(put, delay)
                    )
                return
            except NotFound:  # deleted behind our back
                self.queues.forget(source)
                if attempt == 2:
                    raise

    def _lifetime(self, put: Put, delay: int) -> int:
        """Seconds after which Azure itself drops a message; for ever where it is dead-lettered."""
        if put.expires_at is None or self._dead_lettered_above.get(put.queue, True):
            return NEVER_EXPIRES
        return max(math.ceil(put.expires_at - time.time()), delay + 1)

    # ---- receiving

    def _receive(self, source: str, limit: int, wait: int) -> list[Claim]:
        return self.patience(source, limit, wait) if wait else self._take(source, limit)

    def _take(self, source: str, limit: int) -> list[Claim]:
        received = self.queues.receive(source, limit, math.ceil(self.lease))
        claims = (self._to_claim(source, raw) for raw in received)
        return [claim for claim in claims if claim is not None]

    def _to_claim(self, source: str, raw: Any) -> Claim | None:
        text = raw.content or ""
        message = parse(text)
        if message is None:
            message = foreign(text)
        receipt = Receipt(source, raw.id, raw.pop_receipt)
        if left := ready_in(message):
            self._hide(receipt, min(math.ceil(left), LONGEST_VISIBILITY))
            return None
        self._held[source] += 1
        times = int(raw.dequeue_count or 1)
        queue = self.steps.queue(source)
        return Claim(queue, message, receipt, redelivered=times > 1, deliveries=times - 1)

    # ---- settling

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        self._each(self._forget, unsettled((*acks, *rejects)))
        back = unsettled(releases)
        for receipt in back:  # one after another, for their order
            self._give_back(receipt)
        if back:
            self.patience.ring()

    def renew(self, claims: Sequence[Claim]) -> None:
        self._each(lambda receipt: self._hide(receipt, math.ceil(self.lease)), unsettled(claims))

    def _forget(self, receipt: Receipt) -> None:
        def delete() -> None:
            client = self.queues.client(receipt.source)
            client.delete_message(receipt.identifier, receipt.pop)

        self._once("delete a message", receipt, delete, final=True)

    def _give_back(self, receipt: Receipt) -> None:
        self._hide(receipt, 0, final=True)

    def _hide(self, receipt: Receipt, seconds: int, final: bool = False) -> None:
        def update() -> None:
            client = self.queues.client(receipt.source)
            answer = client.update_message(
                receipt.identifier, pop_receipt=receipt.pop, visibility_timeout=seconds
            )
            receipt.pop = str(answer.pop_receipt)

        self._once("change the visibility of a message", receipt, update, final)

    def _once(self, doing: str, receipt: Receipt, call: Callable[[], None], final: bool) -> None:
        """Make a call with a receipt that is good; a renewal must not come between."""
        with receipt.lock:
            if receipt.settled:
                return
            with ERRORS.mapped(doing):
                try:
                    call()
                except HttpResponseError as exc:
                    if error_code(exc) not in LOST:
                        raise
                    # Its message is with another consumer now, or its queue was deleted.
                    final = True
                    if error_code(exc) in LOST[:2]:
                        logger.warning(
                            "a message's lease was lost before it was settled: %s", error_code(exc)
                        )
            if final:
                receipt.settled = True
                self._held[receipt.source] -= 1

    def _each(self, call: Callable[[Any], None], items: Sequence[Any]) -> None:
        """Make the calls side by side; the first error is raised when all are done.

        One after another in a forked child, for the threads are the parent's.
        """
        if len(items) < 2 or self.options.parallel_requests < 2 or os.getpid() != self._pid:
            for item in items:
                call(item)
            return
        if self._requests is None:
            self._requests = ThreadPoolExecutor(self.options.parallel_requests, "kombu-azure")
        outcomes = [self._requests.submit(call, item) for item in items]
        errors = [error for each in outcomes if (error := each.exception()) is not None]
        if errors:
            raise errors[0]

    def _stop_waiting(self) -> None:
        self.patience.close()

    def _close(self) -> None:
        if self._requests is not None:
            self._requests.shutdown(wait=False)
        self.queues.close()
