"""Azure Service Bus as a store of leased messages: its peek-lock is the lease."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from amqp.exceptions import NotFound
from azure.servicebus.exceptions import (
    MessageAlreadySettled,
    MessageLockLostError,
    MessageNotFoundError,
)

from kombu.transport.azureservicebus.errors import ERRORS
from kombu.transport.azureservicebus.links import SLICE, Receiving, Sending, close_all
from kombu.transport.azureservicebus.messages import read, write
from kombu.transport.azureservicebus.service import Service
from kombu.transport.features import SHARED_STORE
from kombu.transport.polling import LongPollStore
from kombu.transport.virtual.steps import PrioritySteps
from kombu.transport.virtual.store import Claim, Put, QueueSpec, raise_failed

logger = logging.getLogger(__name__)

#: Messages that one receive asks for.
LARGEST_RECEIVE = 100


class Receipt:
    """What settles one holding of a message, once."""

    __slots__ = ("message", "settled", "source")

    def __init__(self, source: str, message: Any) -> None:
        self.source = source
        self.message = message
        self.settled = False


class ServiceBusStore(LongPollStore):
    """Messages in queues of a namespace; a queue with priorities is one queue a step.

    Arguments:
        service: closed by this store.
    """

    features = replace(
        SHARED_STORE,
        max_length_bytes=False,
        ordered=False,
        shared_topology=False,
        event_loop=True,
    )
    claim_window = LARGEST_RECEIVE
    closing_time = 5.0

    def __init__(self, service: Service) -> None:
        self.service = service
        self.options = service.options
        self.lease: float = float(self.options.peek_lock_seconds)
        self._lock = threading.Lock()
        self._receivers: dict[str, Receiving] = {}
        self._senders: dict[str, Sending] = {}
        self._held: dict[str, int] = defaultdict(int)
        self._dead_lettered_above: dict[str, bool] = {}
        super().__init__(self.options.wait_time_seconds, self.lease / 3, PrioritySteps())

    def _receiving(self, source: str) -> Receiving:
        with self._lock:
            if source not in self._receivers:
                self._receivers[source] = Receiving(
                    lambda: self.service.receiver(source), source, self.options.request_timeout
                )
            return self._receivers[source]

    def _sending(self, source: str) -> Sending:
        with self._lock:
            if source not in self._senders:
                self._senders[source] = Sending(
                    lambda: self.service.client.get_queue_sender(self.service.ensure(source)),
                    source,
                    self.options.request_timeout,
                )
            return self._senders[source]

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        self.steps.declare(queue)
        self._dead_lettered_above[queue.name] = "x-dead-letter-exchange" in queue.arguments
        for source in self.steps.sources(queue.name):
            self.service.ensure(source)

    def delete(self, queue: str) -> int:
        count = self.size(queue)
        for source in self.steps.sources(queue):
            self._drop_links(source)
            self.service.delete(source)
        self._deleted(queue)
        self._dead_lettered_above.pop(queue, None)
        return count

    def _drop_links(self, source: str) -> None:
        with self._lock:
            links = (self._receivers.pop(source, None), self._senders.pop(source, None))
            self._held.pop(source, None)
        close_all(link for link in links if link is not None)

    def exists(self, queue: str) -> bool:
        return self.service.exists(queue)

    def size(self, queue: str) -> int:
        sources = self.steps.sources(queue)
        counts = [(self.service.count(source) or 0) - self._held[source] for source in sources]
        return sum(max(count, 0) for count in counts)

    def purge(self, queue: str) -> int:
        return sum(self._purge(source) for source in self.steps.sources(queue))

    def _purge(self, source: str) -> int:
        receiver = Receiving(
            lambda: self.service.receiver(source, delete=True), source, self.options.request_timeout
        )
        count = 0
        try:
            while taken := len(receiver.receive(LARGEST_RECEIVE, SLICE)):
                count += taken
        except NotFound:
            self.service.forget(source)
        finally:
            receiver.close()
        return count

    # ---- sending

    def put(self, puts: Sequence[Put]) -> None:
        failed: dict[int, BaseException] = {}
        for source, indices in self._by_source(puts).items():
            try:
                self._send(source, [puts[index] for index in indices])
            except Exception as exc:  # noqa: BLE001 - reported with its index
                failed.update(dict.fromkeys(indices, exc))
        raise_failed(puts, failed)

    def _send(self, source: str, puts: Sequence[Put]) -> None:
        def messages() -> list[Any]:
            return [write(put, self._dead_lettered_above.get(put.queue, True)) for put in puts]

        try:
            self._sending(source).send(messages())
        except NotFound:  # deleted behind our back
            self.service.forget(source)
            self._drop_links(source)
            self._sending(source).send(messages())

    # ---- receiving

    def _is_enough(self, received: int, wanted: int, alone: bool) -> bool:
        # With one source the rest may come with the next claim, and this one be used.
        return not received or alone

    def _receive(self, source: str, limit: int, wait: float) -> list[Claim]:
        try:
            received = self._receiving(source).receive(limit, wait or SLICE)
        except NotFound:
            self.service.forget(source)
            self._drop_links(source)
            return []
        return [self._to_claim(source, each) for each in received]

    def _to_claim(self, source: str, received: Any) -> Claim:
        self._held[source] += 1
        times = int(received.delivery_count or 0)
        return Claim(
            self.steps.queue(source),
            read(received, self.service.name(source)),
            Receipt(source, received),
            redelivered=times > 0,
            deliveries=times,
        )

    # ---- settling

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        done: list[Claim] = list(acks)
        buried: list[Claim] = []
        for claim in rejects:
            (done if self._dead_lettered_above.get(claim.queue) else buried).append(claim)
        self._each(done, lambda receiver, message: receiver.complete_message(message))
        self._each(buried, bury)
        back = sorted(releases, key=place)
        self._each(back, lambda receiver, message: receiver.abandon_message(message))

    def renew(self, claims: Sequence[Claim]) -> None:
        def renew(receiver: Any, message: Any) -> None:
            receiver.renew_message_lock(message)

        self._each(claims, renew, final=False)

    def _each(
        self, claims: Sequence[Claim], use: Callable[[Any, Any], Any], final: bool = True
    ) -> None:
        """Do something with messages that are still ours, all of a queue in one turn."""
        by_source: dict[str, list[Receipt]] = defaultdict(list)
        for claim in claims:
            if not claim.receipt.settled:
                by_source[claim.receipt.source].append(claim.receipt)
        for source, receipts in by_source.items():

            def settle(receiver: Any, receipts: list[Receipt] = receipts) -> None:
                for receipt in receipts:
                    self._settle(receiver, receipt, use, final)

            try:
                self._receiving(source).call("settle messages", settle)
            except NotFound:  # the queue was deleted, and its messages with it
                for receipt in receipts:
                    receipt.settled = True

    def _settle(
        self, receiver: Any, receipt: Receipt, use: Callable[[Any, Any], Any], final: bool
    ) -> None:
        if receipt.settled:
            return
        try:
            use(receiver, receipt.message)
        except (MessageAlreadySettled, MessageLockLostError, MessageNotFoundError) as exc:
            final = True
            logger.warning("a message's lock was lost before it was settled: %s", exc)
        if final:
            receipt.settled = True
            self._held[receipt.source] -= 1

    def _stop_waiting(self) -> None:
        for receiver in list(self._receivers.values()):
            receiver.stop()

    def _close(self) -> None:
        close_all((*self._receivers.values(), *self._senders.values()))
        with ERRORS.mapped("close the clients"):
            self.service.close()


def place(claim: Claim) -> int:
    """Where in its queue a message stands, and returns to."""
    return int(claim.receipt.message.sequence_number or 0)


def bury(receiver: Any, message: Any) -> None:
    """Into the queue's own dead letter subqueue, where people find it."""
    receiver.dead_letter_message(message, reason="rejected", error_description="by its consumer")
