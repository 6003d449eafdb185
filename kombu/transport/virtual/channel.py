"""The virtual channel: AMQP's verbs, composed of the parts beside it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from queue import Empty
from typing import Any, ClassVar

from amqp.exceptions import AccessRefused

from kombu.log import get_logger
from kombu.transport import base
from kombu.transport.virtual import policy as policies
from kombu.transport.virtual.dispatch import Consumer
from kombu.transport.virtual.entities import EntityVerbs
from kombu.transport.virtual.envelope import Base64, Message, claim_of, leased
from kombu.transport.virtual.errors import InvalidEnvelope
from kombu.transport.virtual.exchange_types import STANDARD_EXCHANGE_TYPES
from kombu.transport.virtual.hooks import AbstractChannel, HookStore, MissingHooks, overrides
from kombu.transport.virtual.ledger import Delivery
from kombu.transport.virtual.publishing import PublishVerbs
from kombu.transport.virtual.qos import QoS
from kombu.transport.virtual.state import BrokerState
from kombu.transport.virtual.store import Claim, Envelope, QueueSpec, Store
from kombu.utils.scheduling import FairCycle
from kombu.utils.uuid import uuid

logger = get_logger(__name__)


class Channel(EntityVerbs, PublishVerbs, AbstractChannel, base.StdChannel):
    """A channel of a virtual transport.

    ``Message``, ``QoS``, ``exchange_types``, ``do_restore``, ``supports_fanout`` are looked up
    when they are needed: they may be replaced on a subclass, the class or an instance.

    Arguments:
        connection: the virtual transport, which is its own connection.
    """

    #: Makes messages of envelopes.
    Message: ClassVar[Any] = Message

    #: Makes :attr:`qos`.
    QoS: ClassVar[Any] = QoS

    #: Whether what was not acknowledged is given back when the channel closes.
    do_restore: bool = True

    #: Exchange type -> class; instances of them after the channel was made.
    exchange_types: dict[str, Any] = dict(STANDARD_EXCHANGE_TYPES)

    #: Whether the backend has publish/subscribe of its own (hook ``_put_fanout``).
    supports_fanout: bool = False

    #: Body encodings by name.
    codecs: Mapping[str, Any] = {"base64": Base64()}

    #: How bodies are written.
    body_encoding: str | None = "base64"

    #: Queue for messages that no queue is bound for.
    deadletter_queue: str | None = None

    #: Transport options that become attributes of the channel.
    from_transport_options: Iterable[str] = ("body_encoding", "deadletter_queue")

    default_priority: int = 0
    min_priority: int = 0
    max_priority: int = 9

    #: AMQP's word on what 5.7 accepted in silence: errors instead of warnings.
    strict: bool = False

    #: Raise when a queue refuses a message (``x-overflow``).
    confirm_publish: bool = False

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        self.connection = connection
        self.closed = False
        self.is_flowing = True
        self.events: dict[str, set[Callable[..., Any]]] = defaultdict(set)
        self._consumers: set[str] = set()
        self._tag_to_queue: dict[str, str] = {}
        self._active_queues: list[str] = []
        self._cycle: Any = None
        self._qos: Any = None
        self._own: dict[str, Consumer] = {}
        self._consumer_limit = 0
        self._no_ack: set[str] = set()
        self.exchange_types = {name: kind(self) for name, kind in self.exchange_types.items()}
        self._apply_options()
        self.channel_id = self._get_free_channel_id()
        store: Store | None = getattr(connection, "store", None)
        self._backend: Store = MissingHooks() if store is None else store
        self.store: Store = (
            HookStore(self, getattr(connection, "polling_interval", None))
            if store is None
            else store
        )

    def _apply_options(self) -> None:
        client = getattr(self.connection, "client", None)
        options = dict(getattr(client, "transport_options", None) or {})
        parsed = getattr(self.connection, "options", None)
        self.strict = bool(getattr(parsed, "strict", self.strict))
        self.confirm_publish = bool(getattr(parsed, "confirm_publish", self.confirm_publish))
        for name in self.from_transport_options:
            if name in options:
                setattr(self, name, options[name])

    @property
    def supports_batch_publish(self) -> bool:  # type: ignore[override]
        """Whether :meth:`basic_publish_many` saves round trips."""
        return self._backend.features.batch_publish and not self._hooked_put

    @property
    def state(self) -> BrokerState:
        """Exchanges and bindings of the broker."""
        state: BrokerState = self.connection.state
        return state

    @property
    def topology(self) -> Any:
        """Exchanges, queues and bindings, with AMQP's rules about them."""
        return self.connection.topology

    @property
    def qos(self) -> Any:
        """What this channel has given out."""
        if self._qos is None:
            self._qos = self.QoS(self)
        return self._qos

    # ---- the hooks, one line each into the store

    def _get(self, queue: str) -> Envelope:
        claims = self._backend.claim((queue,), 1)
        if not claims:
            raise Empty()
        self.connection.keeper.hold(claims)
        return leased(claims[0])

    def _size(self, queue: str) -> int:
        return self._backend.size(queue)

    def _purge(self, queue: str) -> int:
        return self._backend.purge(queue)

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        if isinstance(self._backend, MissingHooks):
            self._purge(queue)
        else:
            self._backend.delete(queue)

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return self._backend.exists(queue)

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        self._backend.declare(
            QueueSpec(
                queue,
                bool(kwargs.get("durable", True)),
                bool(kwargs.get("exclusive", False)),
                bool(kwargs.get("auto_delete", False)),
                dict(kwargs.get("arguments") or {}),
            )
        )

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
        credit: int | None = qos.can_consume_max_estimate()
        if credit is None and not qos.can_consume():
            return 0
        ledger = getattr(qos, "ledger", None)
        own: int | None = ledger.credit(consumer_tag) if ledger is not None else None
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

        def deliver(raw: Any) -> Any:
            return self._hand_over(raw, queue, tag, no_ack, callback)

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
        self, raw: Any, queue: str, tag: str, no_ack: bool, callback: Callable[[Any], Any]
    ) -> Any:
        """Make a message of an envelope and call the consumer with it."""
        message = self._receive(raw, queue)
        if message is None:
            return None
        message.delivery_info = {**(message.delivery_info or {}), "consumer_tag": tag}
        if no_ack:
            claim = claim_of(raw)
            if claim is not None:
                self.connection.keeper.ack((claim,), now=not self.connection.dispatcher.holding)
        else:
            self.qos.append(message, message.delivery_tag)
        return callback(message)

    def _receive(self, raw: Any, queue: str) -> Any:
        """The message of an envelope, or ``None`` for one that must not be delivered."""
        claim = claim_of(raw)
        if claim is not None and not self._deliverable(claim):
            return None
        try:
            message = self.message_to_python(raw)
        except (InvalidEnvelope, TypeError, ValueError) as exc:
            self._quarantine(queue, raw, claim, exc)
            return None
        message.claim = claim
        ledger = getattr(self.qos, "ledger", None)
        if ledger is not None and message.delivery_tag in ledger:
            # Copies of one publish share their tag; on one channel each needs its own.
            message.delivery_tag = self._next_delivery_tag()
        return message

    def _deliverable(self, claim: Claim) -> bool:
        """Whether a claimed message may be delivered; an expired one is dead-lettered."""
        if policies.expired(claim.message, time.time()):
            self._give_up(claim, "expired")
            return False
        return True

    def _give_up(self, claim: Claim, reason: policies.Reason) -> None:
        """Dead-letter first, then settle: no moment in which it is nowhere."""
        if "dead_letter" not in self._backend.features.native:
            self._dead_letter(claim.queue, claim.message, reason)
        self.connection.keeper.settle(rejects=(claim,))

    def _quarantine(self, queue: str, raw: Any, claim: Claim | None, error: BaseException) -> None:
        """Set aside what is no message: nothing is lost, and the queue goes on."""
        aside = f"{queue}.undecodable"
        logger.error("queue %r holds what is no message (%s): moved to %r", queue, error, aside)
        self._put(aside, dict(raw) if isinstance(raw, Mapping) else {"body": str(raw)})
        if claim is not None:
            self.connection.keeper.settle(rejects=(claim,))

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        """The next message of a queue, or ``None`` (AMQP 0-9-1, 1.8.3.10)."""
        self._require_open("Basic.get")
        record = self._require_queue(queue, "Basic.get")
        if record is not None:
            record.last_used = time.monotonic()
        self.connection.sweep(self)
        while True:
            try:
                raw = self._get(queue)
            except Empty:
                return None
            message = self._receive(raw, queue)
            if message is None:
                continue
            if not no_ack:
                note = getattr(self.qos, "_note", None)
                if note is not None:
                    note(message, message.delivery_tag, None)
                else:
                    self.qos.append(message, message.delivery_tag)
            elif message.claim is not None:
                self.connection.keeper.ack((message.claim,), now=True)
            return message

    def message_to_python(self, raw_message: Any) -> Any:
        """The message of an envelope; messages are returned as they are."""
        if not isinstance(raw_message, self.Message):
            return self.Message(raw_message, channel=self)
        return raw_message

    # ---- settling

    def basic_ack(self, delivery_tag: Any, multiple: bool = False) -> None:
        """Acknowledge a delivery; ``multiple``: and all before it (AMQP 0-9-1, 1.8.3.13)."""
        self._require_open("Basic.ack")
        if multiple:
            self.qos.ack(delivery_tag, multiple=True)
        else:
            self.qos.ack(delivery_tag)

    def basic_reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        """Reject a delivery: dead-lettered, or given back (AMQP 0-9-1, 1.8.3.14)."""
        self._require_open("Basic.reject")
        self.qos.reject(delivery_tag, requeue=requeue)

    def basic_nack(self, delivery_tag: Any, multiple: bool = False, requeue: bool = True) -> None:
        """Reject one delivery or all up to it (a RabbitMQ extension)."""
        self._require_open("Basic.nack")
        self.qos.reject(delivery_tag, requeue=requeue, multiple=multiple)

    def basic_recover(self, requeue: bool = False) -> None:
        """Give back all that is not acknowledged (AMQP 0-9-1, 1.8.3.16).

        Raises:
            NotImplementedError: ``requeue=False``, as nobody implements it.
        """
        self._require_open("Basic.recover")
        if not requeue:
            raise NotImplementedError("Does not support recover(requeue=False)")
        self.qos.restore_unacked()

    def _settle(
        self,
        acked: list[Delivery[Any]] | None = None,
        requeued: list[Delivery[Any]] | None = None,
        rejected: list[Delivery[Any]] | None = None,
    ) -> None:
        """Do what the ledger decided, in the store or through the hooks."""
        keeper = self.connection.keeper
        claims = [d.item.claim for d in acked or () if getattr(d.item, "claim", None) is not None]
        if claims:
            keeper.ack(claims, now=not self.connection.dispatcher.holding)
        for delivery in rejected or ():
            self._reject(delivery.item)
        if requeued:
            self._requeue([delivery.item for delivery in requeued])
        self.connection.credit_returned()

    def _reject(self, message: Any) -> None:
        claim = getattr(message, "claim", None)
        if claim is not None:
            self._give_up(claim, "rejected")
            return
        queue = self._queue_of(message)
        if queue is not None:
            self._dead_letter(queue, message.serializable(), "rejected")

    def _queue_of(self, message: Any) -> str | None:
        claim = getattr(message, "claim", None)
        if claim is not None:
            return str(claim.queue)
        return self._tag_to_queue.get((message.delivery_info or {}).get("consumer_tag", ""))

    def _requeue(self, messages: list[Any]) -> None:
        releases: list[Claim] = []
        for message in messages:
            claim = getattr(message, "claim", None)
            if claim is None or overrides(type(self), Channel, "_restore", "_restore_at_beginning"):
                self._restore_at_beginning(message)
            elif self._worn_out(claim):
                self._give_up(claim, "delivery_limit")
            else:
                releases.append(claim)
        if releases:
            self.connection.keeper.settle(releases=releases)

    def _worn_out(self, claim: Claim) -> bool:
        policy = self.topology.policy(claim.queue)
        if policy is None or policy.delivery_limit is None:
            return False
        return bool(claim.deliveries + 1 > policy.delivery_limit)

    def _restore_at_beginning(self, message: Any) -> None:
        """Hook: give one message back, to the head of its queue where that can be."""
        self._restore(message)

    def _restore(self, message: Any) -> None:
        """Hook: give one message back."""
        claim = getattr(message, "claim", None)
        if claim is not None:
            self.connection.keeper.settle(releases=(claim,))
            return
        info = message.delivery_info or {}
        envelope = message.serializable()
        envelope["redelivered"] = True
        queue = self._queue_of(message)
        queues = (
            [queue]
            if queue is not None
            else self._lookup(info.get("exchange", ""), info.get("routing_key", ""))
        )
        for each in queues:
            self._put(each, envelope)

    # ---- life

    def close(self) -> None:
        """End the channel: its consumers, and its hold on what is not acknowledged."""
        if self.closed:
            return
        try:
            for tag in list(self._own):
                self.basic_cancel(tag)
            if self._qos is not None:
                self._qos.restore_unacked_once()
                self._abandon()
        finally:
            self.closed = True
            if self._cycle is not None:
                self._cycle.close()
                self._cycle = None
            self.connection.close_channel(self)
            self.exchange_types = {}

    def _abandon(self) -> None:
        """Give back what ``do_restore = False`` leaves: a lease ends with its channel."""
        ledger = getattr(self._qos, "ledger", None)
        left = [] if ledger is None else ledger.take_all()
        claims = [d.item.claim for d in left if getattr(d.item, "claim", None) is not None]
        if claims:
            self.connection.keeper.settle(releases=claims)

    def _get_free_channel_id(self) -> int:
        take = getattr(self.connection, "take_channel_id", None)
        return int(take()) if take is not None else 0
