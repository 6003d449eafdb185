"""A RabbitMQ spoken to by AMQP 1.0 as a store of leased messages.

A message is held by the connection that received it and has not settled it: no lease to renew,
and the broker gives it back the moment the connection is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from proton import Delivery, Message

from kombu.transport.features import SHARED_STORE
from kombu.transport.polling import LongPollStore
from kombu.transport.qpid.control import Control, broker_name
from kombu.transport.qpid.wire import Wire
from kombu.transport.virtual.envelope import foreign, parse
from kombu.transport.virtual.steps import PrioritySteps
from kombu.transport.virtual.store import (
    Claim,
    Envelope,
    Put,
    QueueSpec,
    raise_failed,
)
from kombu.utils.json import dumps

logger = logging.getLogger(__name__)

LARGEST_RECEIVE = 100
#: Seconds of one wait in the background, and within which a message that is counted must come.
WAIT_SECONDS = 10
PROMPT = 1.0
CONTENT_TYPE = "application/vnd.kombu+json"


class Receipt:
    """What settles one holding of a message, once."""

    __slots__ = ("delivery", "settled")

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.settled = False


class AMQP10Store(LongPollStore):
    """Messages in the queues of a RabbitMQ.

    Arguments:
        wire: messages; closed by this store.
        control: queues; closed by this store.
    """

    features = replace(
        SHARED_STORE,
        max_length_bytes=False,
        delay=False,
        shared_topology=False,
        event_loop=True,
        unicode_names=False,
        native=frozenset({"priority", "leases"}),
    )
    claim_window = LARGEST_RECEIVE
    closing_time = PROMPT

    def __init__(self, wire: Wire, control: Control) -> None:
        self.wire = wire
        self.control = control
        # No steps are declared: the broker has priorities.
        super().__init__(WAIT_SECONDS, PROMPT, PrioritySteps())

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        if self.control.count(queue.name) is None:
            self.control.declare(queue)

    def delete(self, queue: str) -> int:
        count = self.control.delete(queue)
        self.wire.forget(address(queue))
        self._deleted(queue)
        return count

    def exists(self, queue: str) -> bool:
        return self.control.count(queue) is not None

    def size(self, queue: str) -> int:
        return self.control.count(queue) or 0

    def purge(self, queue: str) -> int:
        return self.control.purge(queue)

    # ---- sending

    def put(self, puts: Sequence[Put]) -> None:
        failed: dict[int, BaseException] = {}
        for queue, indices in self._by_source(puts).items():
            errors = self._send(queue, [write(puts[index]) for index in indices])
            failed.update((indices[at], error) for at, error in errors.items())
        raise_failed(puts, failed)

    def _send(self, queue: str, messages: Sequence[Message]) -> dict[int, BaseException]:
        # RabbitMQ accepts, and drops, what is for a queue that is not there.
        self.declare(QueueSpec(queue))
        return self.wire.send(address(queue), messages)

    # ---- receiving

    def _receive(self, source: str, limit: int, wait: int) -> list[Claim]:
        if not wait:
            return self._receive_ready(source, limit)
        claims = self._wait_for(source, 1, wait)
        if claims and limit > 1:
            claims += self._receive_ready(source, limit - 1)
        return claims

    def _receive_ready(self, queue: str, limit: int) -> list[Claim]:
        """Messages that are there: credit for more would bring what nobody here waits for."""
        ready = min(self.control.count(queue) or 0, limit)
        return self._wait_for(queue, ready, PROMPT) if ready else []

    def _wait_for(self, queue: str, limit: int, wait: float) -> list[Claim]:
        received = self.wire.receive(address(queue), limit, wait)
        return [self._to_claim(queue, delivery, message) for delivery, message in received]

    @staticmethod
    def _to_claim(queue: str, delivery: Delivery, message: Message) -> Claim:
        again = not message.first_acquirer or bool(message.delivery_count)
        deliveries = max(int(message.delivery_count or 0), int(again))
        return Claim(queue, read(message), Receipt(delivery), again, deliveries)

    # ---- settling

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        outcomes: list[tuple[Delivery, Any]] = []
        for claims, outcome in (
            (acks, Delivery.ACCEPTED),
            (rejects, Delivery.REJECTED),
            (releases, Delivery.RELEASED),
        ):
            for claim in claims:
                if not claim.receipt.settled:
                    claim.receipt.settled = True
                    outcomes.append((claim.receipt.delivery, outcome))
        if outcomes:
            self.wire.answer(outcomes)

    def _stop_waiting(self) -> None:
        self.wire.interrupt()

    def _close(self) -> None:
        self.wire.close()
        self.control.close()


def address(queue: str) -> str:
    """How RabbitMQ's plugin calls a queue that is there."""
    return f"/amq/queue/{quote(broker_name(queue), safe='')}"


def write(put: Put) -> Message:
    """The message that is sent: its body is the envelope as JSON."""
    properties = put.message["properties"]
    return Message(
        body=dumps(put.message).encode(),
        inferred=True,
        content_type=CONTENT_TYPE,
        durable=properties.get("delivery_mode", 2) == 2,
        priority=put.priority,
    )


def read(message: Message) -> Envelope:
    """The envelope in a message. What no kombu wrote becomes a message of that text."""
    body = message.body
    raw: Any = bytes(body) if isinstance(body, bytes | bytearray | memoryview) else str(body or "")
    envelope = parse(raw)
    if envelope is not None:
        return envelope
    return foreign(raw if isinstance(raw, str) else raw.decode("utf-8", "replace"))
