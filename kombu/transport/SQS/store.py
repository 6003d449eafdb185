"""SQS as a store of leased messages: its visibility timeout is the lease."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from amqp.exceptions import ChannelError, ConsumerCancelled, NotFound, RecoverableChannelError
from amqp.exceptions import ConnectionError as AMQPConnectionError

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
Outcome = tuple["Receipt", Exception | None]


class Receipt:
    """What settles one holding of a message, once.

    SQS may honour the handle of an earlier holding, so that used ones must not be sent again.
    """

    __slots__ = ("handle", "renewable", "settled", "source", "url")

    def __init__(self, source: str, url: str, handle: str) -> None:
        self.source = source
        self.url = url
        self.handle = handle
        self.renewable = True
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
            self.queues.deleted(source)
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
            try:
                self._change_visibility([receipt], min(left, LONGEST_VISIBILITY))
            except (AMQPConnectionError, ChannelError) as exc:  # it comes again, sooner
                logger.warning("a message whose time has not come can't be put off: %s", exc)
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
        self._end(self._delete(unsettled(done)))
        later[0] += back
        for pause, claims in later.items():
            self._end(self._change_visibility(unsettled(claims), pause))

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
        receipts = [each for each in unsettled(claims) if each.renewable]
        for receipt, error in self._change_visibility(receipts, self.lease or 0):
            if error is None:
                continue
            if is_lost(error):  # not asked for again and again
                receipt.renewable = False
            logger.warning("a message's lease was not renewed: %s", error)

    def _end(self, outcomes: Iterable[Outcome]) -> None:
        """Note what was settled.

        Raises:
            what SQS itself failed at: that must be tried again.
        """
        failure: Exception | None = None
        for receipt, error in outcomes:
            receipt.settled = error is None or is_lost(error)
            if error is not None and receipt.settled:
                logger.warning("a message's lease was lost before it was settled: %s", error)
            elif error is not None:
                failure = error
        if failure is not None:
            raise failure

    def _delete(self, receipts: Iterable[Receipt]) -> Iterator[Outcome]:
        return self._in_batches(receipts, "delete_message_batch", "delete messages", {})

    def _change_visibility(self, receipts: Iterable[Receipt], seconds: float) -> list[Outcome]:
        return list(
            self._in_batches(
                receipts,
                "change_message_visibility_batch",
                "change the visibility of messages",
                {"VisibilityTimeout": math.ceil(seconds)},
            )
        )

    def _in_batches(
        self, receipts: Iterable[Receipt], operation: str, doing: str, asked: Entry
    ) -> Iterator[Outcome]:
        """What became of each receipt: ``None``, or the error."""
        for (source, url), some in grouped(receipts).items():
            call = getattr(self.clients.sqs(source), operation)
            entries = [
                {"Id": str(number), "ReceiptHandle": receipt.handle, **asked}
                for number, receipt in enumerate(some)
            ]

            def send(window: Sequence[Entry], call: Any = call, url: str = url) -> dict[str, Any]:
                with ERRORS.mapped(doing):
                    answer: dict[str, Any] = call(QueueUrl=url, Entries=window)
                    return answer

            failed: dict[str, Exception] = {}
            with suppress(NotFound):  # the queue was deleted, and its messages with it
                failed = send_all(entries, send)
            for number, receipt in enumerate(some):
                yield receipt, failed.get(str(number))

    def _close(self) -> None:
        self.clients.close()


def grouped(receipts: Iterable[Receipt]) -> dict[tuple[str, str], list[Receipt]]:
    """Receipts by queue."""
    groups: dict[tuple[str, str], list[Receipt]] = defaultdict(list)
    for receipt in receipts:
        groups[receipt.source, receipt.url].append(receipt)
    return groups


def is_lost(error: Exception) -> bool:
    """Whether a receipt is no good any more: its message is, or will be, another consumer's."""
    return not isinstance(error, RecoverableChannelError)
