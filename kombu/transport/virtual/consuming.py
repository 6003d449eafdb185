"""Consuming verbs of a virtual channel: consumers, credit, and what becomes a message."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from queue import Empty
from typing import TYPE_CHECKING, Any, ClassVar

from amqp.exceptions import AccessRefused

from kombu.transport.virtual import policy as policies
from kombu.transport.virtual.dispatch import Consumer
from kombu.transport.virtual.envelope import EXPIRES_AT, Message, claim_of, leased
from kombu.transport.virtual.errors import InvalidEnvelope, channel_closed
from kombu.transport.virtual.qos import QoS
from kombu.transport.virtual.store import Claim, Envelope, Put, Store
from kombu.transport.virtual.topology import QueueRecord
from kombu.utils.logfields import log_fields
from kombu.utils.loggers import get_logger
from kombu.utils.scheduling import FairCycle
from kombu.utils.uuid import uuid

logger = get_logger(__name__)

_CAN_CONSUME = QoS.can_consume
_MAX_ESTIMATE = QoS.can_consume_max_estimate
_APPEND = QoS.append


class ConsumeVerbs:
    """What a channel does to consume; mixed into :class:`~.channel.Channel`."""

    #: Makes messages of envelopes.
    Message: ClassVar[Any]

    # ---- consuming

    def basic_qos(
        self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False
    ) -> None:
        """Limit how many unacknowledged messages are out (AMQP 0-9-1, 1.8.3.1).

        Arguments:
            prefetch_size: not supported, and ignored.
            prefetch_count: 0 is no limit.
            apply_global: as the specification has it, either way for the channel at once.
                Under transport option ``qos_semantics='consumer'`` as RabbitMQ has it:
                ``False`` for each consumer started from then on, ``True`` for the channel.
        """
        self._require_open("Basic.qos")
        if not apply_global and getattr(self.connection, "qos_per_consumer", False):
            self._consumer_limit = prefetch_count or 0
            return
        self.qos.prefetch_count = prefetch_count or 0
        self.connection.review()

    def _credit(self, consumer_tag: str) -> int | None:
        qos = self.qos
        kind = type(qos)
        own: int | None
        if kind.can_consume is _CAN_CONSUME and kind.can_consume_max_estimate is _MAX_ESTIMATE:
            own = qos.ledger.credit(consumer_tag, qos.prefetch_count or 0)
            return own
        # A QoS of somebody else: both its answers count.
        if not qos.can_consume():
            return 0
        credit: int | None = qos.can_consume_max_estimate()
        ledger = getattr(qos, "ledger", None)
        own = ledger.credit(consumer_tag) if ledger is not None else None
        if credit is None:
            return own
        return credit if own is None else min(credit, own)

    def flow(self, active: bool = True) -> bool:
        """Stop or resume deliveries to this channel's consumers (AMQP 0-9-1, 1.5.2.3)."""
        self._require_open("Channel.flow")
        self.is_flowing = bool(active)
        self.connection.review()
        return self.is_flowing

    def basic_consume(
        self,
        queue: str,
        no_ack: bool,
        callback: Callable[[Any], Any],
        consumer_tag: str | None = None,
        **kwargs: Any,
    ) -> str:
        """Start a consumer (AMQP 0-9-1, 1.8.3.3).

        Arguments:
            callback: called with each message.
            consumer_tag: unique on this channel; made up when it is empty.
            kwargs: ``exclusive``, ``arguments``; others are ignored.

        Raises:
            ResourceLocked: 405; the queue is exclusive to another connection.
            AccessRefused: 403; there is an exclusive consumer, or others while asking for it.
            NotFound: 404, under ``strict``; the queue is not there.
        """
        self._require_open("Basic.consume")
        record = self._require_queue(queue, "Basic.consume")
        tag = consumer_tag or f"amq.ctag-{uuid()}"
        if tag in self._own:
            self._complain(f"consumer tag {tag!r} is in use", "Basic.consume")
            self.basic_cancel(tag)
        token = (self.connection, self.channel_id, tag, bool(kwargs.get("exclusive")))
        active: Callable[[], bool] | None = None
        if record is not None:
            taken = record.consumers
            if taken and (token[3] or any(other[3] for other in taken)):
                raise AccessRefused(
                    f"ACCESS_REFUSED - queue {queue!r} in vhost {self.topology.vhost!r} in "
                    "exclusive use",
                    None,
                    "Basic.consume",
                )
            record.consumers[token] = None
            record.had_consumers = True
            if record.policy is not None and record.policy.single_active_consumer:
                first = record.consumers
                active = lambda: next(iter(first), None) == token  # noqa: E731

        deliver = partial(self._hand_over, callback, queue, tag, no_ack)
        consumer = Consumer(
            self, tag, queue, no_ack, deliver, shared=not self._consumer_limit, active=active
        )
        self._own[tag] = consumer
        self._consumers.add(tag)
        self._tag_to_queue[tag] = queue
        self._active_queues.append(queue)
        if no_ack:
            self._no_ack.add(tag)
        ledger = getattr(self.qos, "ledger", None)
        if ledger is not None:
            ledger.open_consumer(tag, self._consumer_limit)
        self._reset_cycle()
        self.connection.add_consumer(consumer)
        return tag

    def needs_no_ack(self, consumer_tag: str) -> bool:
        """Whether that consumer's messages count as acknowledged from the start."""
        return consumer_tag in self._no_ack

    def basic_cancel(self, consumer_tag: str) -> None:
        """End a consumer; what it was given and has not acknowledged stays with it.

        Unknown tags are ignored. An auto-delete queue goes with its last consumer.
        """
        consumer = self._own.pop(consumer_tag, None)
        if consumer is None:
            return
        queue = consumer.queue
        self._consumers.discard(consumer_tag)
        self._no_ack.discard(consumer_tag)
        self._tag_to_queue.pop(consumer_tag, None)
        if queue in self._active_queues:
            self._active_queues.remove(queue)
        ledger = getattr(self.qos, "ledger", None)
        if ledger is not None:
            ledger.close_consumer(consumer_tag)
        self._reset_cycle()
        self.connection.remove_consumer(consumer)
        record = self.topology.queues.get(queue)
        if record is not None:
            for token in list(record.consumers):
                if token[0] is self.connection and token[1:3] == (self.channel_id, consumer_tag):
                    del record.consumers[token]
            record.last_used = time.monotonic()
            if record.spec.auto_delete and not record.consumers and record.had_consumers:
                self._remove_queue(queue)

    @property
    def cycle(self) -> Any:
        """The queues this channel consumes, in turn."""
        if self._cycle is None:
            self._reset_cycle()
        return self._cycle

    def _reset_cycle(self) -> None:
        self._cycle = FairCycle(self._get_and_deliver, self._active_queues, Empty)

    def drain_events(
        self, timeout: float | None = None, callback: Callable[..., Any] | None = None
    ) -> Any:
        """Deliver the next message of this channel's queues, through the classic hooks.

        Raises:
            Empty: there is none, or the prefetch limit is reached.
        """
        callback = callback or self.connection._deliver
        if not (self._consumers and self.is_flowing and self.qos.can_consume()):
            raise Empty()
        get_many = getattr(self, "_get_many", None)
        if get_many is not None:
            return get_many(self._active_queues, timeout=timeout)
        return self._poll(self.cycle, callback, timeout=timeout)

    def _hand_over(
        self, callback: Callable[[Any], Any], queue: str, tag: str, no_ack: bool, raw: Any
    ) -> Any:
        """Make a message of an envelope, or of a claim, and call the consumer with it."""
        message = self._receive(raw, queue)
        if message is None:
            return None
        info = message.delivery_info
        message.delivery_info = {**info, "consumer_tag": tag} if info else {"consumer_tag": tag}
        if no_ack:
            claim = message.claim
            if claim is not None:
                self.connection.dispatcher.ack((claim,))
        else:
            self._give_out(message, tag)
        return callback(message)

    def _give_out(self, message: Any, consumer: str | None) -> None:
        """Note a delivery; ``None``: it takes no credit."""
        qos = self.qos
        if type(qos).append is _APPEND:
            # Copies of one publish share their tag; on one channel each needs its own.
            while not qos.ledger.offer(message.delivery_tag, message, consumer):
                message.delivery_tag = self._next_delivery_tag()
            return
        ledger = getattr(qos, "ledger", None)
        if ledger is not None and message.delivery_tag in ledger:
            message.delivery_tag = self._next_delivery_tag()
        note = getattr(qos, "_note", None) if consumer is None else None
        if note is not None:
            note(message, message.delivery_tag, None)
        else:
            qos.append(message, message.delivery_tag)

    def _receive(self, raw: Any, queue: str) -> Any:
        """The message of an envelope or a claim; ``None`` for one that must not be delivered."""
        claim = raw if isinstance(raw, Claim) else claim_of(raw)
        if claim is not None:
            properties = claim.message.get("properties")
            dated = isinstance(properties, dict) and EXPIRES_AT in properties
            if dated and not self._deliverable(claim):
                return None
            if raw is claim:
                if claim.redelivered or self.Message is not Message:
                    raw = leased(claim)  # somebody else's class may change what it is given
                else:
                    raw = claim.message
        try:
            message = self.message_to_python(raw)
        except (InvalidEnvelope, TypeError, ValueError) as exc:
            self._quarantine(queue, raw, claim, exc)
            return None
        message.claim = claim
        message.source_queue = queue
        return message

    def _deliverable(self, claim: Claim) -> bool:
        """Whether a claimed message may be delivered; an expired one is dead-lettered."""
        if policies.expired(claim.message, time.time()):
            self._give_up(claim, "expired")
            return False
        return True

    def _quarantine(self, queue: str, raw: Any, claim: Claim | None, error: BaseException) -> None:
        """Set aside what is no message: nothing is lost, and the queue goes on."""
        aside = f"{queue}.undecodable"
        logger.error(
            "queue %r holds what is no message (%s): moved to %r", queue, error, aside,
            extra=log_fields(self.connection.client, queue=queue, reason="quarantined"),
        )  # fmt: skip
        envelope = dict(raw) if isinstance(raw, Mapping) else {"body": str(raw)}
        if self._hooked_put:
            self._put(aside, envelope)
        else:  # as it is: what its properties ask for may be what is wrong with it
            self._backend.put((Put(aside, envelope),))
        if claim is not None:
            self.connection.keeper.settle(rejects=(claim,))

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        """The next message of a queue, or ``None`` (AMQP 0-9-1, 1.8.3.10)."""
        if self.closed:
            raise channel_closed("Basic.get")
        record = self._require_queue(queue, "Basic.get")
        if record is not None and record.policy is not None:
            record.last_used = time.monotonic()
        connection = self.connection
        connection.sweep(self)
        hooked = getattr(self._get, "__func__", None) is not self._plain_get
        raw: Any
        while True:
            if hooked:
                try:
                    raw = self._get(queue)
                except Empty:
                    return None
            else:
                raw = self._claim_one(queue)
                if raw is None:
                    return None
            message = self._receive(raw, queue)
            if message is None:
                continue
            if not no_ack:
                self._give_out(message, None)
            elif message.claim is not None:
                connection.keeper.ack((message.claim,), now=True)
            return message

    def message_to_python(self, raw_message: Any) -> Any:
        """The message of an envelope; messages are returned as they are."""
        if not isinstance(raw_message, self.Message):
            return self.Message(raw_message, channel=self)
        return raw_message

    if TYPE_CHECKING:  # hooks and parts of the channel that these verbs call
        connection: Any
        topology: Any
        qos: Any
        channel_id: int
        closed: bool
        is_flowing: bool
        _own: dict[str, Consumer]
        _consumers: set[str]
        _no_ack: set[str]
        _tag_to_queue: dict[str, str]
        _active_queues: list[str]
        _consumer_limit: int
        _backend: Store
        _cycle: Any

        @property
        def _hooked_put(self) -> bool: ...
        def _require_open(self, method: str) -> None: ...
        def _require_queue(self, queue: str, method: str) -> QueueRecord | None: ...
        def _remove_queue(self, queue: str) -> None: ...
        def _complain(self, text: str, method: str) -> None: ...
        def _next_delivery_tag(self) -> str: ...
        def _give_up(self, claim: Claim, reason: policies.Reason) -> None: ...
        def _put(self, queue: str, message: Envelope, **kwargs: Any) -> None: ...
        def _get(self, queue: str) -> Envelope: ...
        def _claim_one(self, queue: str) -> Claim | None: ...

        _plain_get: ClassVar[Any]

        def _get_and_deliver(self, queue: str, callback: Callable[..., Any]) -> None: ...
        def _poll(
            self, cycle: Any, callback: Callable[..., Any], timeout: float | None = None
        ) -> Any: ...
