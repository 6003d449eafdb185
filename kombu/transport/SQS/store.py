"""SQS as a store of leased messages: its visibility timeout is the lease."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from amqp.exceptions import ConsumerCancelled, NotFound

from kombu.transport.features import SHARED_STORE
from kombu.transport.polling import LongPollStore, unsettled
from kombu.transport.SQS.batches import Entry, send_all
from kombu.transport.SQS.body import read_body, send_options, with_ready_at, write_body
from kombu.transport.SQS.clients import Clients
from kombu.transport.SQS.errors import ERRORS
from kombu.transport.SQS.names import is_fifo
from kombu.transport.SQS.options import SQSOptions
from kombu.transport.SQS.priority import sqs_step_name
from kombu.transport.SQS.queues import SMALLEST_LIMIT, Queues
from kombu.transport.virtual.envelope import ready_in
from kombu.transport.virtual.errors import MessageTooLarge, message_too_large
from kombu.transport.virtual.steps import PrioritySteps
from kombu.transport.virtual.store import Claim, PartialPutError, Put, QueueSpec

logger = logging.getLogger(__name__)

LONGEST_VISIBILITY = 43_200
#: Messages that one call brings at most.
LARGEST_RECEIVE = 10

Sent = TypeVar("Sent")


class Receipt:
    """What settles one holding of a message, once.

    SQS may honour the handle of an earlier holding, so that used ones must not be sent again.
    """

    __slots__ = ("handle", "settled", "source", "url")

    def __init__(self, source: str, url: str, handle: str) -> None:
        self.source = source
        self.url = url
        self.handle = handle
        self.settled = False


class SQSStore(LongPollStore):
    """Messages in SQS queues; a queue with priorities is one SQS queue a step.

    Arguments:
        clients: closed by this store.
    """

    features = replace(
        SHARED_STORE,
        max_length_bytes=False,
        ordered=False,
        shared_topology=False,
        event_loop=True,
        unicode_names=False,
        purge_spares_held=False,
    )
    claim_window = LARGEST_RECEIVE

    def __init__(self, clients: Clients, options: SQSOptions) -> None:
        self.clients = clients
        self.options = options
        self.queues = Queues(clients, options)
        self.lease = options.lease_seconds
        self._dead_lettered_above: set[str] = set()
        steps = PrioritySteps(sqs_step_name)
        super().__init__(options.wait_time_seconds, self.lease / 3, steps)

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        self.steps.declare(queue)
        if "x-dead-letter-exchange" in queue.arguments:
            self._dead_lettered_above.add(queue.name)
        for source in self.steps.sources(queue.name):
            self.queues.ensure(source)

    def delete(self, queue: str) -> int:
        count = 0
        for source in self.steps.sources(queue):
            url = self.queues.find(source)
            if url is None or self.queues.predefined:
                continue
            count += self._size(source)
            with ERRORS.mapped(f"delete queue {queue!r}"):
                self.clients.sqs(source).delete_queue(QueueUrl=url)
            self.queues.forget(source)
        self._deleted(queue)
        return count

    def exists(self, queue: str) -> bool:
        return self.queues.find(queue) is not None

    def size(self, queue: str) -> int:
        return sum(self._size(source) for source in self.steps.sources(queue))

    def _size(self, source: str) -> int:
        if self.queues.find(source) is None:
            return 0
        return int(self.queues.attribute(source, "ApproximateNumberOfMessages") or 0)

    def purge(self, queue: str) -> int:
        count = 0
        for source in self.steps.sources(queue):
            url = self.queues.find(source)
            if url is None:
                continue
            count += self._size(source)
            with ERRORS.mapped(f"purge queue {queue!r}"):
                self.clients.sqs(source).purge_queue(QueueUrl=url)
        return count

    # ---- sending

    def put(self, puts: Sequence[Put]) -> None:
        by_source = self._by_source(puts)
        if len(puts) == 1:
            (source,) = by_source
            entry = self._entry(source, puts[0])
            self._again_if_deleted(source, lambda: self._send_one(source, entry))
            return
        failed: dict[int, BaseException] = {}
        for source, indices in by_source.items():
            entries: dict[int, Entry] = {}
            for index in indices:
                try:
                    entries[index] = self._entry(source, puts[index])
                except MessageTooLarge as exc:
                    failed[index] = exc
            failed.update(self._again_if_deleted(source, partial(self._send_many, source, entries)))
        if failed:
            raise PartialPutError(failed)

    def _again_if_deleted(self, source: str, send: Callable[[], Sent]) -> Sent:
        """Make the queue anew, once, if it was deleted behind our back."""
        try:
            return send()
        except NotFound:
            self.queues.forget(source)
            self.queues.ensure(source)
            return send()

    def _entry(self, source: str, put: Put) -> Entry:
        fifo = is_fifo(self.queues.ensure(source))
        body = write_body(with_ready_at(put, fifo), self.options.sqs_base64_encoding)
        size = len(body.encode())
        if size > SMALLEST_LIMIT and size > (limit := self.queues.size_limit(source)):
            raise message_too_large(size, put.queue, limit, "SQS")
        return {"MessageBody": body, **send_options(put, fifo)}

    def _send_one(self, source: str, entry: Entry) -> None:
        with ERRORS.mapped(f"send to queue {source!r}"):
            self.clients.sqs(source).send_message(QueueUrl=self.queues.url(source), **entry)

    def _send_many(self, source: str, entries: dict[int, Entry]) -> dict[int, BaseException]:
        client, url = self.clients.sqs(source), self.queues.url(source)
        batch = [{"Id": str(index), **entry} for index, entry in entries.items()]

        def send(window: Sequence[Entry]) -> dict[str, Any]:
            with ERRORS.mapped(f"send to queue {source!r}"):
                answer: dict[str, Any] = client.send_message_batch(QueueUrl=url, Entries=window)
                return answer

        return {int(identifier): error for identifier, error in send_all(batch, send).items()}

    # ---- receiving

    def _receive(self, source: str, limit: int, wait: int) -> list[Claim]:
        url = self.queues.find(source)
        if url is None:
            return []
        try:
            with ERRORS.mapped(f"receive from queue {source!r}"):
                answer = self.clients.sqs(source).receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=limit,
                    WaitTimeSeconds=wait,
                    VisibilityTimeout=math.ceil(self.lease or 0),
                    **self._attributes(),
                )
        except NotFound as exc:
            self.queues.forget(source)
            raise ConsumerCancelled(f"queue {source!r} was deleted") from exc
        claims = [self._to_claim(source, url, raw) for raw in answer.get("Messages", ())]
        return [claim for claim in claims if claim is not None]

    def _attributes(self) -> dict[str, list[str]]:
        asked = self.options.fetch_message_attributes
        system = {"ApproximateReceiveCount"}
        parameters: dict[str, list[str]] = {}
        if isinstance(asked, dict):
            system.update(asked.get("MessageSystemAttributeNames") or ())
            if asked.get("MessageAttributeNames"):
                parameters["MessageAttributeNames"] = list(asked["MessageAttributeNames"])
        elif asked:
            system.update(asked)
        parameters["MessageSystemAttributeNames"] = sorted(system)
        return parameters

    def _to_claim(self, source: str, url: str, raw: dict[str, Any]) -> Claim | None:
        message = read_body(raw["Body"])
        receipt = Receipt(source, url, raw["ReceiptHandle"])
        properties = message["properties"]
        if left := ready_in(message):
            self._change_visibility([receipt], min(left, LONGEST_VISIBILITY))
            return None
        info = properties.get("delivery_info")
        properties["delivery_info"] = {
            **(info if isinstance(info, dict) else {}),
            "sqs_message": raw,
            "sqs_queue": url,
        }
        properties["delivery_tag"] = receipt.handle
        times = int(raw.get("Attributes", {}).get("ApproximateReceiveCount", 1))
        queue = self.steps.queue(source)
        return Claim(queue, message, receipt, redelivered=times > 1, deliveries=times - 1)

    # ---- settling

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        done, back = [*acks], [*releases]
        later: dict[int, list[Claim]] = defaultdict(list)
        for claim in rejects:
            pause = self._backoff(claim)
            if pause is not None:
                later[pause].append(claim)
                continue
            own_policy = claim.queue not in self._dead_lettered_above
            redriven = own_policy and self.queues.has_redrive_policy(claim.receipt.source)
            (back if redriven else done).append(claim)
        with suppress(NotFound):  # the queue was deleted, and its messages with it
            self._delete(unsettled(done))
        with suppress(NotFound):
            self._change_visibility(unsettled(back), 0)
        for pause, claims in later.items():
            with suppress(NotFound):
                self._change_visibility(unsettled(claims), pause)
        for claim in (*acks, *releases, *rejects):
            claim.receipt.settled = True

    def _backoff(self, claim: Claim) -> int | None:
        """Seconds until a rejected task may be tried again, by its predefined queue's policy."""
        definition = self.options.predefined_queues.get(claim.queue)
        policy = definition.get("backoff_policy") if definition else None
        headers = claim.message.get("headers") or {}
        if not policy or headers.get("task") not in (definition or {}).get("backoff_tasks", ()):
            return None
        times = claim.deliveries + 1
        pause = policy.get(times, policy.get(str(times)))
        return None if pause is None else min(int(pause), LONGEST_VISIBILITY)

    def renew(self, claims: Sequence[Claim]) -> None:
        with suppress(NotFound):
            self._change_visibility(unsettled(claims), self.lease or 0)

    def _delete(self, receipts: Iterable[Receipt]) -> None:
        for (source, url), entries in grouped(receipts).items():
            client = self.clients.sqs(source)

            def delete(
                window: Sequence[Entry], client: Any = client, url: str = url
            ) -> dict[str, Any]:
                with ERRORS.mapped("delete messages"):
                    answer: dict[str, Any] = client.delete_message_batch(
                        QueueUrl=url, Entries=window
                    )
                    return answer

            self._log_lost(send_all(entries, delete))

    def _change_visibility(self, receipts: Iterable[Receipt], seconds: float) -> None:
        for (source, url), entries in grouped(receipts).items():
            client = self.clients.sqs(source)
            timed = [{**entry, "VisibilityTimeout": math.ceil(seconds)} for entry in entries]

            def change(
                window: Sequence[Entry], client: Any = client, url: str = url
            ) -> dict[str, Any]:
                with ERRORS.mapped("change the visibility of messages"):
                    answer: dict[str, Any] = client.change_message_visibility_batch(
                        QueueUrl=url, Entries=window
                    )
                    return answer

            self._log_lost(send_all(timed, change))

    @staticmethod
    def _log_lost(failed: dict[str, Exception]) -> None:
        """A receipt that is no good any more: its message is with another consumer now."""
        for error in failed.values():
            logger.warning("a message's lease was lost before it was settled: %s", error)

    def _close(self) -> None:
        self.clients.close()


def grouped(receipts: Iterable[Receipt]) -> dict[tuple[str, str], list[Entry]]:
    """Receipts by queue, as entries of a batch call."""
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for number, receipt in enumerate(receipts):
        groups[receipt.source, receipt.url].append(
            {"Id": str(number), "ReceiptHandle": receipt.handle}
        )
    return groups
