"""Settling verbs of a virtual channel: acknowledge, reject, give back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from amqp.exceptions import MessageNacked

from kombu.transport.virtual import policy as policies
from kombu.transport.virtual.errors import channel_closed
from kombu.transport.virtual.hooks import overrides
from kombu.transport.virtual.ledger import Delivery
from kombu.transport.virtual.qos import QoS
from kombu.transport.virtual.store import Claim, Envelope, Store
from kombu.utils.logfields import log_fields
from kombu.utils.loggers import get_logger

logger = get_logger(__name__)

_ACK = QoS.ack


class SettleVerbs:
    """What a channel does to settle; mixed into :class:`~.channel.Channel`."""

    # ---- settling

    def basic_ack(self, delivery_tag: Any, multiple: bool = False) -> None:
        """Acknowledge a delivery; ``multiple``: and all before it (AMQP 0-9-1, 1.8.3.13)."""
        if self.closed:
            raise channel_closed("Basic.ack")
        qos = self.qos
        if multiple:
            qos.ack(delivery_tag, multiple=True)
            return
        if type(qos).ack is _ACK:  # what it comes to
            delivery = qos.ledger.take(delivery_tag)
            if delivery is not None:
                claim = getattr(delivery.item, "claim", None)
                if claim is not None:
                    self.connection.dispatcher.ack((claim,))
                else:
                    self.connection.dispatcher.credit_returned()
                return
        qos.ack(delivery_tag)

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
        acked: list[Delivery] | None = None,
        requeued: list[Delivery] | None = None,
        rejected: list[Delivery] | None = None,
    ) -> None:
        """Do what the ledger decided, in the store or through the hooks."""
        dispatcher = self.connection.dispatcher
        claims = [d.item.claim for d in acked or () if getattr(d.item, "claim", None) is not None]
        if claims:
            dispatcher.ack(claims)
        for delivery in rejected or ():
            self._reject(delivery.item)
        if requeued:
            self._requeue([delivery.item for delivery in requeued])
        dispatcher.credit_returned()

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
        source: str | None = getattr(message, "source_queue", None)
        return source

    def _requeue(self, messages: list[Any]) -> None:
        releases: list[Claim] = []
        hooked = overrides(type(self), SettleVerbs, "_restore", "_restore_at_beginning")
        for message in messages:
            claim = getattr(message, "claim", None)
            if claim is None or hooked:
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

    def _give_up(self, claim: Claim, reason: policies.Reason) -> None:
        """Dead-letter first, then settle: no moment in which it is nowhere."""
        if "dead_letter" not in self._backend.features.native:
            self._dead_letter(claim.queue, claim.message, reason)
        self.connection.keeper.settle(rejects=(claim,))

    def _abandon(self) -> None:
        """Give back what ``do_restore = False`` leaves: a lease ends with its channel."""
        ledger = getattr(self._qos, "ledger", None)
        left = [] if ledger is None else ledger.take_all()
        claims = [d.item.claim for d in left if getattr(d.item, "claim", None) is not None]
        if claims:
            self.connection.keeper.settle(releases=claims)

    # ---- dead letters

    def _dead_letter(self, queue: str, message: Envelope, reason: policies.Reason) -> bool:
        """Publish to the queue's dead letter exchange; whether it has one."""
        policy = self.topology.policy(queue)
        if policy is None or policy.dead_letter_exchange is None:
            return False
        exchange = policy.dead_letter_exchange
        key = policies.dead_letter_key(policy, message)
        dead = policies.dead_letter(message, queue, reason, time.time())
        dead["properties"]["delivery_info"] = {"exchange": exchange, "routing_key": key}
        dead["properties"]["delivery_tag"] = self._next_delivery_tag()
        queues = self.topology.route(exchange, key, dead.get("headers"))
        if reason != "rejected":
            queues = [each for each in queues if not policies.is_cycle(dead, each)]
        if not queues:
            logger.warning(
                "dead letter of queue %r (%s) reaches no queue: exchange %r, routing key %r",
                queue, reason, exchange, key,
                extra=log_fields(
                    self.connection.client,
                    queue=queue, exchange=exchange, routing_key=key, reason=reason,
                ),
            )  # fmt: skip
        try:
            self._put_routed(queues, dead, {})
        except MessageNacked as exc:
            # As RabbitMQ drops it; nobody published it who could be told.
            logger.warning(
                "dead letter of queue %r (%s) is lost: %s", queue, reason, exc,
                extra=log_fields(
                    self.connection.client,
                    queue=queue, exchange=exchange, routing_key=key, reason=reason,
                ),
            )  # fmt: skip
        self.connection.tell("dead_lettered", queue, 1, reason)
        return True

    if TYPE_CHECKING:  # hooks and parts of the channel that these verbs call
        connection: Any
        closed: bool
        topology: Any
        qos: Any
        _qos: Any
        _backend: Store

        def _require_open(self, method: str) -> None: ...
        def _lookup(self, exchange: str, routing_key: str) -> Sequence[str]: ...
        def _put(self, queue: str, message: Envelope, **kwargs: Any) -> None: ...
        def _next_delivery_tag(self) -> str: ...
        def _put_routed(
            self, queues: Sequence[str], message: Envelope, kwargs: Mapping[str, Any]
        ) -> None: ...
