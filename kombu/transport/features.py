"""What a transport can do, said once.

``implements``, ``supports_fanout``, the documented transport table and the
choice of conformance tests are all derived from one :class:`Features` object.
"""

from __future__ import annotations

from dataclasses import dataclass, field

EXCHANGE_TYPES: frozenset[str] = frozenset({"direct", "topic", "fanout", "headers"})


@dataclass(frozen=True, eq=False)
class Features:
    """Capabilities of one transport; each ``True`` has conformance tests that pass on it.

    Arguments:
        exchange_types: exchange types a message is routed by.
        priority: higher AMQP priorities are delivered first (or, where the published
            storage format says so, lower numbers first).
        message_ttl: messages expire, by ``expiration`` and by ``x-message-ttl``.
        queue_expiry: an unused queue is deleted after ``x-expires``. Where others share the
            store it must be native: the virtual layer sees only its own process using a queue.
        max_length: ``x-max-length`` with ``x-overflow``.
        max_length_bytes: ``x-max-length-bytes``, too.
        dead_letter: ``x-dead-letter-exchange`` and ``-routing-key`` with ``x-death``.
        delay: a message published with the header ``x-delay`` is held back that long.
        mandatory: an unroutable mandatory message is returned to the publisher.
        confirms: ``put`` returns only once the message is safe by the backend's terms.
        leases: a consumer that dies gives its unacknowledged messages back.
        ordered: messages of one queue and priority are delivered in publishing order.
        shared: other processes see the same queues.
        shared_topology: other processes see the same exchanges and bindings.
        durable: messages outlive the process (and the server, by its own terms).
        exclusive: an exclusive queue refuses other connections and dies with its own.
        consumer_counts: declare reports how many consumers a queue has.
        batch_publish: a batch of messages goes out in fewer round trips than messages.
        event_loop: works under ``kombu.asynchronous.Hub`` without polling.
        heartbeats: the protocol has heartbeats of its own.
        unicode_names: queues and exchanges may have any name.
        purge_spares_held: purging leaves what consumers hold.
        native: names of the features above that the backend itself does, so that the
            virtual layer must not emulate them.
    """

    exchange_types: frozenset[str] = EXCHANGE_TYPES
    priority: bool = False
    message_ttl: bool = False
    queue_expiry: bool = False
    max_length: bool = False
    dead_letter: bool = False
    delay: bool = False
    mandatory: bool = False
    confirms: bool = False
    leases: bool = False
    ordered: bool = False
    shared: bool = False
    shared_topology: bool = False
    durable: bool = False
    exclusive: bool = False
    consumer_counts: bool = False
    batch_publish: bool = False
    event_loop: bool = False
    heartbeats: bool = False
    max_length_bytes: bool = True
    unicode_names: bool = True
    purge_spares_held: bool = True
    native: frozenset[str] = field(default=frozenset())


#: What a backend that leases messages to many clients comes to have with the virtual layer's
#: help. A driver says only, by ``dataclasses.replace``, what is otherwise.
SHARED_STORE = Features(
    priority=True,
    message_ttl=True,
    max_length=True,
    dead_letter=True,
    delay=True,
    mandatory=True,
    confirms=True,
    leases=True,
    ordered=True,
    shared=True,
    shared_topology=True,
    durable=True,
    batch_publish=True,
    native=frozenset({"priority", "delay", "leases"}),
)
