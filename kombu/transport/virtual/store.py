"""The contract between the virtual layer and a backend.

A backend is a *store of leased messages*. At every instant a message is either
waiting in its queue or held under a lease that names its owner; there is no
moment in which a killed consumer takes one with it. A store knows nothing of
exchanges, consumers, prefetch or acknowledgement modes: those live above it.

Everything a driver has to promise is written on the method that promises it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from kombu.transport.features import Features

#: A message as it is stored: ``body`` (text), ``content-type``, ``content-encoding``,
#: ``headers`` and ``properties`` (see ``envelope.py``). Plain dicts, because third-party
#: channels receive and return them through the classic ``_put`` and ``_get`` hooks.
Envelope = dict[str, Any]


class QueueSpec(NamedTuple):
    """A queue as it was declared.

    Arguments:
        arguments: the ``x-`` arguments as AMQP spells them, times in milliseconds.
    """

    name: str
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    arguments: Mapping[str, Any] = {}


class Put(NamedTuple):
    """One message on its way into one queue.

    Arguments:
        priority: 0 to 9 as AMQP has it, already clamped; how it is ordered in storage
            is the driver's affair.
        ready_at: unix time in seconds before which the message must not be claimed.
        expires_at: unix time in seconds after which it must not be delivered any more.
            The virtual layer also checks this on delivery, so that a store without
            native expiry may ignore it.
    """

    queue: str
    message: Envelope
    priority: int = 0
    ready_at: float | None = None
    expires_at: float | None = None


class Claim:
    """One message held under a lease.

    Arguments:
        receipt: whatever the store needs to settle or renew *this* holding; a receipt of
            an earlier holding of the same message must not settle a later one.
        redelivered: whether the message was given to a consumer before.
        deliveries: how often it was delivered before this time, where the store counts;
            feeds ``x-delivery-limit``.
    """

    __slots__ = ("deliveries", "message", "queue", "receipt", "redelivered")

    #: Of claims for several queues those of the lowest rank are handed out first; for stores
    #: where priorities go across queues.
    rank: int = 0

    def __init__(
        self,
        queue: str,
        message: Envelope,
        receipt: Any,
        redelivered: bool = False,
        deliveries: int = 0,
    ) -> None:
        self.queue = queue
        self.message = message
        self.receipt = receipt
        self.redelivered = redelivered
        self.deliveries = deliveries

    def __repr__(self) -> str:
        return f"<Claim of {self.queue!r}: {self.receipt!r}>"


class Discard(NamedTuple):
    """A message the store took out of its queue by itself (see :meth:`Store.sweep`).

    Arguments:
        reason: ``"expired"`` or ``"maxlen"``, as ``x-death`` spells it.
    """

    reason: Literal["expired", "maxlen"]
    claim: Claim


class PartialPutError(Exception):
    """Some messages of a ``put`` are not in the store; all others are, safely.

    Arguments:
        failed: index into the ``puts`` that were given -> the backend's error.
    """

    def __init__(self, failed: Mapping[int, BaseException]) -> None:
        super().__init__(f"{len(failed)} message(s) could not be stored")
        self.failed = dict(failed)


def raise_failed(puts: Sequence[Put], failed: Mapping[int, BaseException]) -> None:
    """Say which messages of a ``put`` are not stored; a single one's error is raised as it is.

    Raises:
        PartialPutError: there are some.
    """
    if failed and len(puts) == 1:
        raise failed[0]
    if failed:
        raise PartialPutError(failed)


class QueueFull(Exception):
    """``put`` refused a message because of ``x-overflow=reject-publish`` (a negative confirm)."""


class Store(ABC):
    """A store of leased messages; one object per transport connection.

    Unless a method says otherwise: it may be called from any thread, also while another
    thread is in ``wait``; it blocks no longer than the transport's own time limits; and a
    failure of the backend arrives as one of the transport's ``connection_errors`` or
    ``channel_errors``, chained to its cause. After ``close`` every method raises a
    connection error.
    """

    #: What the backend can do; the virtual layer emulates or refuses the rest.
    features: Features = Features()

    #: Seconds after which a claim that was not renewed returns to its queue; ``None`` where
    #: a claim lasts as long as its connection or process does and needs no renewal.
    lease: float | None = None

    #: How many messages one claim may take for a consumer without a prefetch limit.
    claim_window: int = 1

    #: Whether a round trip is short enough for an event loop to make it itself; else settling
    #: and renewing are left to the keeper's thread, and ``claim`` asks nobody after ``arm``.
    quick: bool = True

    # ---- queues

    @abstractmethod
    def declare(self, queue: QueueSpec) -> None:
        """Make the queue if it is not there. Called again for known queues: must be cheap."""

    @abstractmethod
    def delete(self, queue: str) -> int:
        """Remove the queue with its ready messages and return their number; 0 if unknown.

        Claims on it that are still out settle as no-ops afterwards.
        """

    @abstractmethod
    def exists(self, queue: str) -> bool:
        """Whether the queue is declared, by this client or, where shared, by any other."""

    @abstractmethod
    def size(self, queue: str) -> int:
        """Number of messages that are ready: neither claimed nor delayed. Unknown queue: 0."""

    @abstractmethod
    def purge(self, queue: str) -> int:
        """Drop the ready messages, leave the claimed ones, and return how many went."""

    def body_bytes(self, queue: str) -> int | None:
        """Sum of the ready messages' sizes (``policy.size_of``); ``None``: the backend can't say.

        For stores whose maximum length the virtual layer keeps.
        """
        return None

    def queue_names(self) -> Sequence[str] | None:
        """Names of all queues, of other clients too; ``None`` where they can't be listed."""
        return None

    def held(self, queue: str) -> int | None:
        """How many messages consumers, of other clients too, hold; ``None``: not known."""
        return None

    # ---- messages

    @abstractmethod
    def put(self, puts: Sequence[Put]) -> None:
        """Store all messages and return once they are safe by the backend's own terms.

        That return is the publisher's confirm. Order within one queue is kept. As few
        round trips as the backend allows. A queue nobody declared is made on the way
        where the backend allows it.

        Raises:
            PartialPutError: naming those that are not stored.
            QueueFull: when a single message is refused by the queue's limit.
        """

    @abstractmethod
    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        """Take up to ``limit`` ready messages under lease, atomically; never blocks for more.

        Queues are served in the order given (the caller rotates them for fairness),
        each by priority and then age. Empty or unknown queues: an empty list. A stored
        value that is not a message of ours is set aside (quarantined) and logged, never
        dropped and never claimed again.
        """

    @abstractmethod
    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        """End leases, in one round trip where possible.

        ``acks`` are done and forgotten. ``releases`` return to the head of their queue in
        their original order, marked redelivered, claimable at once. ``rejects`` are given
        up for good: dead-lettered by the backend where that is its own feature, else
        forgotten (the virtual layer has dead-lettered them before). A claim whose lease
        was lost meanwhile is left alone: it belongs to another owner. Settling twice does
        nothing.
        """

    def renew(self, claims: Sequence[Claim]) -> None:  # noqa: B027 - optional
        """Start the lease of these claims anew; lost ones are left alone. No-op without leases."""

    def sweep(self, limit: int) -> list[Discard]:
        """Hand over up to ``limit`` messages past ``expires_at`` or over a queue's maximum length.

        They are held under a lease: the virtual layer dead-letters them and then settles them
        as rejects. Called after a put into a bounded queue, before claims and waits, so it must
        cost nothing when there is nothing. Only for stores that notice by themselves; what a
        claim finds expired the virtual layer treats anyway.
        """
        return []

    # ---- waking

    @abstractmethod
    def wait(self, queues: Sequence[str], timeout: float | None) -> bool:
        """Sleep until a claim on one of ``queues`` may succeed; whether it may.

        Returns ``False`` after ``timeout`` seconds or when :meth:`interrupt` was called.
        Spurious ``True`` is allowed, a missed message is not. Costs no CPU while idle.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """End a ``wait`` that is under way in another thread (or the next one) early."""

    # ---- event loop: for stores that can be waited on through file descriptors

    def filenos(self) -> Sequence[int]:
        """Descriptors to watch for reading; may change after each ``on_readable`` or ``arm``."""
        return ()

    @property
    def descriptors_version(self) -> Hashable:
        """Changes when one of :meth:`filenos` was closed and its number stands for another."""
        return 0

    def arm(self, queues: Sequence[str]) -> None:  # noqa: B027 - optional
        """Ask the backend, without blocking, to make a descriptor readable when one has work."""

    def is_armed(self, queues: Sequence[str]) -> bool:
        """Whether all is as ``arm`` left it, so that a look at these queues would find nothing.

        Asked about once a second; where a store can't tell, its queues are looked at then.
        """
        return False

    def on_readable(self, fileno: int) -> bool:
        """Read what arrived without blocking; whether a claim may now succeed."""
        return True

    # ---- life

    @abstractmethod
    def close(self) -> None:
        """Free all resources; claims not settled return by themselves. May be called twice.

        In a forked child it must leave the parent's connections and claims untouched.
        """


class Fanout(ABC):
    """Publish/subscribe of a backend, for stores that have it; others copy into each queue.

    A message published to a fanout exchange reaches every queue subscribed at that time.
    What arrives is handed to ``deliver(queue, message)`` by :meth:`pump`.
    """

    @abstractmethod
    def publish(self, exchange: str, routing_key: str, message: Envelope) -> int | None:
        """Send to all subscribers; how many there were, ``None`` where unknown."""

    @abstractmethod
    def subscribe(self, exchange: str, queue: str, routing_key: str) -> None:
        """From the return of this call on, messages to ``exchange`` reach ``queue``."""

    @abstractmethod
    def unsubscribe(self, queue: str) -> None:
        """Stop; messages that have not been pumped yet are dropped with the queue."""

    def unbind(self, exchange: str, queue: str) -> None:  # noqa: B027 - optional
        """The binding is gone; where subscriptions outlive their consumers."""

    def close(self) -> None:  # noqa: B027 - optional
        """Stop listening; called before its store closes."""

    @abstractmethod
    def pump(self, deliver: Callable[[str, Envelope], None]) -> int:
        """Hand on, without blocking, what has arrived; how many messages."""


class TopologyStore(ABC):
    """Exchanges, queue specs and bindings where the backend can hold them for all clients."""

    @abstractmethod
    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Record one binding; recording it twice leaves one."""

    @abstractmethod
    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Forget one binding; unknown ones are ignored."""

    @abstractmethod
    def bindings(self, exchange: str) -> Sequence[tuple[str, str, str]]:
        """All ``(routing_key, pattern, queue)`` of an exchange, as last written by anyone."""

    def refresh(self) -> bool:
        """Read anew when next asked, where bindings are kept for a while; whether they are.

        Called when a message finds no queue.
        """
        return False

    def exchange_type(self, exchange: str) -> str | None:
        """The type another client declared the exchange with, where that is recorded."""
        return None

    def declare_exchange(self, exchange: str, type: str) -> None:  # noqa: B027 - optional
        """Record the type beside the bindings, where the format has room for it."""

    def delete_exchange(self, exchange: str) -> None:  # noqa: B027 - optional
        """Forget the exchange and its bindings."""

    def queue_arguments(self, queue: str) -> Mapping[str, Any] | None:
        """The arguments another client declared the queue with, where that is recorded."""
        return None
