"""Pub/Sub subscriptions as a store of leased messages: the deadline is the lease."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from amqp.exceptions import ChannelError, NotFound

from kombu.transport.features import SHARED_STORE
from kombu.transport.gcpubsub.clients import Clients
from kombu.transport.gcpubsub.options import LONGEST_DEADLINE, PubSubOptions
from kombu.transport.gcpubsub.subscriptions import Subscription, Subscriptions
from kombu.transport.polling import LongPollStore, unsettled
from kombu.transport.virtual.envelope import noting, parse, ready_in
from kombu.transport.virtual.steps import PrioritySteps
from kombu.transport.virtual.store import Claim, PartialPutError, Put, QueueSpec
from kombu.transport.windows import windows
from kombu.utils.json import dumps
from kombu.utils.loggers import get_logger

logger = get_logger(__name__)

#: What one publish call may hold.
MOST_MESSAGES, MOST_BYTES = 1000, 9_000_000
#: Of how many messages that were given back it is known how often.
MOST_RETURNED = 10_000
#: What one pull may bring.
LARGEST_PULL = 1000


class Receipt:
    """What settles one holding of a message, once."""

    __slots__ = ("ack_id", "message_id", "settled", "subscription")

    def __init__(self, subscription: str, ack_id: str, message_id: str) -> None:
        self.subscription = subscription
        self.ack_id = ack_id
        self.message_id = message_id
        self.settled = False

    def __repr__(self) -> str:
        return f"<Receipt of {self.subscription!r}: message {self.message_id}>"


class PubSubStore(LongPollStore):
    """Messages in subscriptions; a queue with priorities is one subscription a step.

    Arguments:
        clients: closed by this store.
    """

    features = replace(
        SHARED_STORE,
        max_length=False,
        max_length_bytes=False,
        ordered=False,
        event_loop=True,
        unicode_names=False,
    )

    def __init__(self, clients: Clients, options: PubSubOptions) -> None:
        self.clients = clients
        self.options = options
        self.subscriptions = Subscriptions(clients)
        self.lease = options.lease_seconds
        self.claim_window = max(min(options.bulk_max_messages, LARGEST_PULL), 1)
        #: Messages this store gave back: how often.
        self._returned: dict[str, int] = {}
        super().__init__(options.wait_time_seconds, self.lease / 3, PrioritySteps())

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        self.steps.declare(queue)
        for source in self.steps.sources(queue.name):
            self.subscriptions.declare(source)

    def delete(self, queue: str) -> int:
        count = 0
        for source in self.steps.sources(queue):
            count += self._size(source)
            self.subscriptions.delete(source)
        self._deleted(queue)
        return count

    def exists(self, queue: str) -> bool:
        return self.subscriptions.is_declared(queue)

    def size(self, queue: str) -> int:
        return sum(self._size(source) for source in self.steps.sources(queue))

    def _size(self, source: str) -> int:
        """Cloud Monitoring's figure; the emulator has none, and there messages are looked at."""
        found = self.subscriptions.find(source)
        if found is None:
            return 0
        if not self.clients.emulated:
            return self.clients.backlog(found.id)
        seen: list[str] = []
        ready = 0
        with suppress(NotFound):
            while pulled := self.clients.pull(found.id, LARGEST_PULL, 0):
                seen += [each.ack_id for each in pulled]
                for each in pulled:
                    message = parse(each.message.data)
                    is_due = message is None or not ready_in(message)
                    ready += self.subscriptions.takes(found, each.message) and is_due
            self.clients.hold(found.id, seen, 0)
        return ready + self.polls.waiting(source)

    def purge(self, queue: str) -> int:
        count = 0
        for source in self.steps.sources(queue):
            found = self.subscriptions.find(source)
            if found is None:
                continue
            kept = self.polls.take(source, self.polls.waiting(source))
            self.settle(acks=kept)
            count += len(kept)
            with suppress(NotFound):
                while pulled := self.clients.pull(found.id, LARGEST_PULL, 0):
                    self.clients.acknowledge(found.id, [each.ack_id for each in pulled])
                    count += sum(self.subscriptions.takes(found, each.message) for each in pulled)
        return count

    # ---- sending

    def put(self, puts: Sequence[Put]) -> None:
        by_topic: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        for index, put in enumerate(puts):
            target = self.subscriptions.ensure(self.steps.source(put.queue, put.priority))
            by_topic[target.topic].append((index, self._record(target, put)))
        failed: dict[int, BaseException] = {}
        for topic, records in by_topic.items():
            for window in windows(records, data_size, MOST_MESSAGES, MOST_BYTES):
                try:
                    self.clients.publish(topic, [record for _, record in window])
                except Exception as exc:
                    if isinstance(exc, NotFound):  # deleted behind our back: made anew next time
                        for put in puts:
                            self.subscriptions.forget(self.steps.source(put.queue, put.priority))
                    if len(window) == len(puts):
                        raise
                    failed.update((index, exc) for index, _ in window)
        if failed:
            raise PartialPutError(failed)

    @staticmethod
    def _record(target: Subscription, put: Put) -> dict[str, Any]:
        data = dumps(noting(put.message, put.ready_at)).encode()
        return {"data": data, "attributes": target.attributes}

    # ---- receiving

    def _receive(self, source: str, limit: int, wait: int) -> list[Claim]:
        found = self.subscriptions.live(source)
        if found is None:
            return []
        try:
            pulled = self.clients.pull(found.id, limit, wait)
        except NotFound:
            self.subscriptions.forget(source)
            return []
        claims, strangers = [], []
        for each in pulled:
            if not self.subscriptions.takes(found, each.message):
                strangers.append(each.ack_id)
                continue
            claim = self._to_claim(source, found, each)
            if claim is not None:
                claims.append(claim)
        if strangers:
            self.clients.acknowledge(found.id, strangers)
        if claims and self.lease != self.options.ack_deadline_seconds:
            self._hold([claim.receipt for claim in claims], self.lease or 0)
        return claims

    def _to_claim(self, source: str, found: Subscription, raw: Any) -> Claim | None:
        receipt = Receipt(found.id, raw.ack_id, raw.message.message_id)
        message = parse(raw.message.data)
        if message is None:
            try:
                self._quarantine(source, raw, receipt)
            except ChannelError as exc:  # it comes again after its deadline
                logger.error("queue %r: what is no message stays there: %s", source, exc)
            return None
        if wait := ready_in(message):
            self._hold([receipt], min(wait, LONGEST_DEADLINE))
            return None
        properties = message["properties"]
        info = properties.get("delivery_info")
        properties["delivery_info"] = {
            **(info if isinstance(info, dict) else {}),
            "gcpubsub_message": {
                "queue": found.id,
                "ack_id": receipt.ack_id,
                "message_id": receipt.message_id,
                "subscription_path": self.clients.subscription(found.id),
            },
        }
        times = max(self._returned.get(receipt.message_id, 0), (raw.delivery_attempt or 1) - 1)
        return Claim(self.steps.queue(source), message, receipt, times > 0, times)

    def _quarantine(self, source: str, raw: Any, receipt: Receipt) -> None:
        """Keep what is no message of ours in a subscription beside the queue's."""
        aside = self.subscriptions.ensure(f"{source}.undecodable")
        logger.error("queue %r holds what is no message: moved to %r", source, aside.id)
        record = {"data": raw.message.data, "attributes": aside.attributes}
        self.clients.publish(aside.topic, [record])
        self.clients.acknowledge(receipt.subscription, [receipt.ack_id])

    # ---- settling

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        done, back = unsettled((*acks, *rejects)), unsettled(releases)
        for subscription, receipts in grouped(done).items():
            with suppress(NotFound):  # the queue was deleted, and its messages with it
                self.clients.acknowledge(subscription, [each.ack_id for each in receipts])
        for receipt in done:
            receipt.settled = True
            self._returned.pop(receipt.message_id, None)
        for receipt in back:  # the last to be forgotten
            times = self._returned.pop(receipt.message_id, 0)
            self._returned[receipt.message_id] = times + 1
        while len(self._returned) > MOST_RETURNED:  # others acknowledged them, or will
            del self._returned[next(iter(self._returned))]
        self._hold(back, 0)
        for receipt in back:
            receipt.settled = True

    def renew(self, claims: Sequence[Claim]) -> None:
        self._hold(unsettled(claims), self.lease or 0)

    def _hold(self, receipts: Sequence[Receipt], seconds: float) -> None:
        for subscription, group in grouped(receipts).items():
            with suppress(NotFound):
                self.clients.hold(subscription, [each.ack_id for each in group], math.ceil(seconds))

    def _close(self) -> None:
        self.clients.close()


def grouped(receipts: Iterable[Receipt]) -> dict[str, list[Receipt]]:
    """Receipts by subscription."""
    groups: dict[str, list[Receipt]] = defaultdict(list)
    for receipt in receipts:
        groups[receipt.subscription].append(receipt)
    return groups


def data_size(record: tuple[int, dict[str, Any]]) -> int:
    return len(record[1]["data"])
