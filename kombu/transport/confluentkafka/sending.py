"""Publishing: batches by the client, delivery reports as confirms."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from amqp.exceptions import RecoverableConnectionError
from confluent_kafka import KafkaError, KafkaException, Producer

from kombu.transport.confluentkafka.errors import ERRORS, error_of

#: Seconds by which an answer may be later than the client's own limit.
_GRACE = 2.0


class Outgoing(NamedTuple):
    """A record on its way; without a partition the client picks one."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    partition: int = -1


class Sender:
    """One producer, made when first needed.

    Arguments:
        make: makes the producer.
        timeout: seconds within which the client reports on each message.
    """

    def __init__(self, make: Callable[[], Producer], timeout: float) -> None:
        self._make = make
        self._timeout = timeout
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._closed = False

    def send(self, records: Sequence[Outgoing]) -> dict[int, Exception]:
        """Store records in order; index -> error of those that are not stored.

        Returns when the brokers have reported on each.
        """
        outcomes: dict[int, Exception | None] = {}
        limit = self._timeout + _GRACE
        if self._lock.acquire(timeout=limit):  # others may be at a broker that does not answer
            try:
                self._send(records, outcomes, time.monotonic() + limit)
            finally:
                self._lock.release()
        for index, (topic, *_) in enumerate(records):
            if index not in outcomes:
                late = KafkaError(KafkaError._MSG_TIMED_OUT)
                outcomes[index] = error_of(late, f"publish to topic {topic!r}")
        return {index: error for index, error in outcomes.items() if error is not None}

    def _send(
        self,
        records: Sequence[Outgoing],
        outcomes: dict[int, Exception | None],
        deadline: float,
    ) -> None:
        if self._closed:
            raise RecoverableConnectionError("the connection to Kafka is closed")
        if self._producer is None:
            self._producer = self._make()
        producer = self._producer
        for index, record in enumerate(records):
            self._produce(producer, outcomes, index, record)
        while len(outcomes) < len(records) and time.monotonic() < deadline:
            producer.poll(0.1)

    def _produce(
        self,
        producer: Producer,
        outcomes: dict[int, Exception | None],
        index: int,
        record: Outgoing,
    ) -> None:
        deadline = time.monotonic() + self._timeout
        topic, report = record.topic, partial(_report, outcomes, index)
        while True:
            try:
                producer.produce(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    partition=record.partition,
                    on_delivery=report,
                )
            except BufferError:  # the client's queue is full: let it send
                if time.monotonic() < deadline:
                    producer.poll(0.1)
                    continue
                late = KafkaError(KafkaError._MSG_TIMED_OUT)
                outcomes[index] = error_of(late, f"publish to topic {topic!r}")
            except KafkaException as exc:
                outcomes[index] = ERRORS.translate(exc, f"publish to topic {topic!r}")
                if isinstance(exc.args[0], KafkaError) and exc.args[0].fatal():
                    self._producer = None
            return

    def close(self) -> None:
        """Leave the producer: nothing of it is outstanding, but what others are sending."""
        self._closed = True
        self._producer = None


def _report(
    outcomes: dict[int, Exception | None], index: int, error: KafkaError | None, message: Any
) -> None:
    outcomes[index] = (
        None if error is None else error_of(error, f"publish to topic {message.topic()!r}")
    )
