"""The virtual transport: its connection, channels and consumers, and how they are driven."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from queue import Empty
from typing import Any, ClassVar, Literal, TypeVar
from weakref import WeakMethod

from amqp.exceptions import ConnectionError as AMQPConnectionError
from amqp.exceptions import RecoverableConnectionError

from kombu.middleware.chain import chain_of
from kombu.middleware.events import Notice
from kombu.transport import base
from kombu.transport.features import Features
from kombu.transport.virtual.bounds import Bounds
from kombu.transport.virtual.channel import Channel
from kombu.transport.virtual.dispatch import Consumer, Dispatcher
from kombu.transport.virtual.hooks import MissingHooks, overrides
from kombu.transport.virtual.lease import LeaseKeeper
from kombu.transport.virtual.loop import LoopDriver
from kombu.transport.virtual.management import Management
from kombu.transport.virtual.once import Once
from kombu.transport.virtual.settings import VirtualOptions
from kombu.transport.virtual.state import BrokerState
from kombu.transport.virtual.store import Fanout, Store
from kombu.transport.virtual.topology import Topology
from kombu.utils.logfields import log_fields
from kombu.utils.loggers import get_logger
from kombu.utils.scheduling import FairCycle, round_robin_cycle

logger = get_logger(__name__)

_Store = TypeVar("_Store", bound=Store)


class Transport(base.Transport):
    """Base of the transports whose broker is kombu itself, on top of a store.

    A driver derives from it, says ``Channel``, ``features``, ``errors`` and ``Options``, and
    implements :meth:`create_store`.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel: ClassVar[Any] = Channel
    Cycle: ClassVar[Any] = FairCycle
    Management = Management

    #: The transport's options; unknown ones are warned of where a driver says its own.
    Options: ClassVar[type[VirtualOptions]] = VirtualOptions

    #: Longest pause in seconds between two looks where the backend can't wake us.
    polling_interval: float | None = 1.0

    #: Highest number of channels.
    channel_max: int = 65535

    #: Where kombu emulates the broker.
    features: ClassVar[Features] = Features()
    implements = base.default_transport_capabilities

    default_port: int | None = None

    #: Host where the URL names none; ``None`` where there is no such thing.
    default_hostname: str | None = "localhost"

    channels: list[Any] = None  # type: ignore[assignment]
    cycle: Any = None
    store: Store | None = None
    fanout: Fanout | None = None
    _driver: LoopDriver | None = None

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        given = dict(getattr(client, "transport_options", None) or {})
        if type(self).Options is VirtualOptions and type(self).driver_type == "N/A":
            # A third party's transport reads its options itself, where it likes.
            names = VirtualOptions.names()
            given = {key: value for key, value in given.items() if key in names}
        self.options = type(self).Options.parse(given, type(self).driver_type)
        if self.options.polling_interval is not None:
            self.polling_interval = self.options.polling_interval
        self.channels = []
        self._avail_channels: list[Any] = []
        self._ids: set[int] = set()
        #: Whether something is said for the first time on this connection.
        self.first_time = Once()
        self._lock = threading.RLock()
        self.topology = self.create_topology()
        self.cycle = self.Cycle(self._drain_channel, self.channels, Empty)
        self._attach(None)

    # ---- what a driver provides

    def create_store(self) -> Store | None:
        """Connect to the backend: the store that this connection's channels share.

        Called when the connection is established, and again after it was closed. ``None``
        for transports whose channels override the classic hooks.

        Raises:
            one of ``connection_errors`` when the backend can't be reached.
        """
        return None

    def create_topology(self) -> Topology:
        """Exchanges, queues and bindings: of this connection, unless a driver shares them.

        A driver whose backend can hold bindings for all clients passes a
        :class:`~.store.TopologyStore` as ``shared``, which finds the backend by
        :meth:`connected_to`.
        """
        return Topology(vhost=self._vhost())

    def create_cycle(self) -> Any:
        """In which order queues are served: a cycle of :mod:`kombu.utils.scheduling`."""
        return round_robin_cycle()

    def create_fanout(self, store: Store) -> Fanout | None:
        """The backend's publish/subscribe, if it has one; otherwise queues get copies.

        What is pumped is handed to the consumers of its queue; ``store.wait`` must also
        return when there is something to pump for one of the queues it was given.
        """
        return getattr(store, "fanout", None)

    def _vhost(self) -> str:
        return str(getattr(self.client, "virtual_host", None) or "/")

    def connected_to(self, kind: type[_Store]) -> _Store:
        """The store, for what shares its backend with it: bindings held for all clients.

        Raises:
            RecoverableConnectionError: the connection is not established.
        """
        if not isinstance(self.store, kind):
            raise RecoverableConnectionError("not connected")
        return self.store

    def longest_pause(self) -> float:
        """Seconds between two looks at most, as :attr:`polling_interval` is set now."""
        return self.polling_interval or 1.0

    @property
    def state(self) -> BrokerState:
        """Exchanges and bindings, in the recorded shape."""
        return self.topology.state

    @property
    def default_connection_params(self) -> dict[str, Any]:
        """What is connected to when the URL does not say."""
        return {"port": self.default_port, "hostname": self.default_hostname}

    # ---- connection

    def establish_connection(self) -> Any:
        """Connect; a virtual transport is its own connection."""
        self._open_store()
        # The first channel stands for the connection, until create_channel asks for it.
        self._avail_channels.append(self.create_channel(self))
        return self

    def _open_store(self) -> None:
        if self.store is None:
            store = self.create_store()
            self.store = store
            self.fanout = None if store is None else self.create_fanout(store)
            self._attach(store)

    def _attach(self, store: Store | None) -> None:
        emulated = store is not None and "max_length" not in store.features.native
        self.bounds = Bounds(store, self.topology) if store is not None and emulated else None
        target = MissingHooks() if store is None else store
        self.keeper = LeaseKeeper(target, self.options.max_hold)
        self.keeper.on_renewed = WeakMethod(self._tell_renewed)
        self.dispatcher = Dispatcher(target, self.keeper, self.create_cycle())

    def _tell_renewed(self, count: int) -> None:
        self.tell("lease_renewed", None, count)

    def tell(
        self,
        kind: Literal["lease_renewed", "dead_lettered"],
        queue: str | None,
        count: int,
        reason: str | None = None,
    ) -> None:
        """Tell the connection's middleware of what the transport did by itself."""
        notice = chain_of(client=self.client).notice
        if notice is not None:
            notice(Notice(kind, queue, count, self.client, reason))

    def close_connection(self, connection: Any) -> None:
        """Close all channels, delete exclusive queues, and leave the backend."""
        self.unregister_from_event_loop(connection, None)
        self.cycle.close()
        try:
            with ExitStack() as steps:
                steps.callback(self._settle_up)
                for channel in dict.fromkeys((*self._avail_channels, *self.channels)):
                    steps.callback(self._close_channel, channel)
        finally:
            self.channels.clear()
            self._avail_channels.clear()
            self._leave_backend()

    def _close_channel(self, channel: Any) -> None:
        try:
            channel.close()
        except LookupError:
            logger.debug("channel %r was closed meanwhile", channel)
        except AMQPConnectionError:
            # The others' messages return as their leases end: not each is to wait in vain.
            self.keeper.abandon()
            raise

    def _settle_up(self) -> None:
        if self.store is None or self.keeper.finished:
            return
        for queue in self.topology.owned_by(self):
            self.store.delete(queue)
            self.topology.forget_queue(queue)
        self.dispatcher.release()
        self.keeper.close()

    def _leave_backend(self) -> None:
        store, self.store = self.store, None
        if store is None:
            return
        self.keeper.abandon()
        fanout, self.fanout = self.fanout, None
        try:
            if fanout is not None:
                fanout.close()
        finally:
            store.close()

    @property
    def connected(self) -> bool:
        """Whether the connection is established."""
        return bool(self.channels or self._avail_channels)

    def create_channel(self, connection: Any) -> Any:
        """A channel: the one made while connecting, then new ones."""
        try:
            return self._avail_channels.pop()
        except IndexError:
            self._open_store()
            channel = self.Channel(connection)
            self.channels.append(channel)
            return channel

    def close_channel(self, channel: Any) -> None:
        """Forget a closed channel."""
        with self._lock:
            self._ids.discard(channel.channel_id)
        for channels in (self.channels, self._avail_channels):
            if channel in channels:
                channels.remove(channel)

    def take_channel_id(self) -> int:
        """The lowest free channel number.

        Raises:
            ConnectionError: 504; all of ``channel_max`` are open.
        """
        with self._lock:
            for number in range(1, self.channel_max + 1):
                if number not in self._ids:
                    self._ids.add(number)
                    return number
        raise AMQPConnectionError(
            f"No free channel ids, current={len(self._ids)}, channel_max={self.channel_max}",
            (20, 10),
        )

    # ---- consumers

    @property
    def _callbacks(self) -> dict[str, Callable[..., Any]]:
        """Queue -> what a raw message for it is handed to (one consumer's, where it has many)."""
        return {consumer.queue: consumer.deliver for consumer in self.dispatcher.consumers}

    @property
    def qos_per_consumer(self) -> bool:
        """Whether basic_qos without global limits each consumer, as RabbitMQ has it."""
        return self.options.qos_semantics == "consumer"

    def qos_semantics_matches_spec(self, connection: Any) -> bool:
        """Whether basic_qos without global limits the channel, as the specification has it."""
        return not self.qos_per_consumer

    def add_consumer(self, consumer: Consumer) -> None:
        """Let a consumer take part in draining."""
        if self.fanout is not None:
            for exchange, routing_key in self.topology.bindings_of(consumer.queue):
                if self.topology.exchange_type(exchange) == "fanout":
                    self.fanout.subscribe(exchange, consumer.queue, routing_key)
        self.dispatcher.consumers.add(consumer)
        self.dispatcher.credit_returned()

    def remove_consumer(self, consumer: Consumer) -> None:
        """Let it take part no more; what was claimed for it goes back at once."""
        self.dispatcher.consumers.remove(consumer)
        if consumer.queue not in self.dispatcher.consumers:
            if self.fanout is not None:
                self.fanout.unsubscribe(consumer.queue)
            self.dispatcher.release(consumer.queue)
        self.review()

    def cancel_consumers_of(self, queue: str) -> None:
        """Cancel the consumers of a queue that is being deleted."""
        for consumer in list(self.dispatcher.consumers):
            if consumer.queue == queue:
                consumer.channel.basic_cancel(consumer.tag)

    def review(self) -> None:
        """Credit changed: give back what nobody may be given now."""
        self.dispatcher.review()

    def credit_returned(self) -> None:
        """Credit came back: a drain that waits may go on."""
        self.dispatcher.credit_returned()

    def sweep(self, channel: Any) -> None:
        """What time brings: queues unused for too long go, messages are dead-lettered."""
        store = self.store
        if store is None:
            return
        if self.topology.expiring:
            channel._expire_queues()
        while True:
            discards = store.sweep(100)
            if self.bounds is not None:
                discards += self.bounds.overflow(100 - len(discards))
            for reason, claim in discards:
                channel._give_up(claim, reason)
            if len(discards) < 100:
                return

    # ---- event loop

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let ``loop`` deliver messages; for stores with descriptors to watch."""
        if self.store is not None and not _has_hooks(self.Channel):
            self.unregister_from_event_loop(connection, loop)
            self._driver = LoopDriver(self, self.store, loop)
            self._driver.start()

    def unregister_from_event_loop(self, connection: Any, loop: Any) -> None:
        """Undo :meth:`register_with_event_loop`."""
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.stop()

    # ---- draining

    def drain_events(  # type: ignore[override]
        self, connection: Any, timeout: float | None = None
    ) -> None:
        """Deliver one message to one consumer.

        Arguments:
            timeout: seconds to wait for it at most; ``None``: for ever.

        Raises:
            TimeoutError: (``socket.timeout``) there was none in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if self.store is None or _has_hooks(self.Channel):
            self._drain_hooks(deadline)
            return
        while not self._deliver_next():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError()
            if self.store is None:
                raise AMQPConnectionError("the connection was closed while draining")
            self.dispatcher.wait(left)

    def _deliver_next(self) -> bool:
        """Hand out one message, if there is one; whether there was."""
        if self.fanout is not None and self.fanout.pump(self._deliver_fanned):
            return True
        if self.channels:
            self.sweep(self.channels[0])
        following = self.dispatcher.next()
        if following is None:
            return False
        consumer, claim = following
        consumer.deliver(claim)
        return True

    def _deliver_fanned(self, queue: str, message: Any) -> None:
        self._deliver(message, queue)

    def _drain_hooks(self, deadline: float | None) -> None:
        pause = 0.001
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            try:
                self.cycle.get(self._deliver, timeout=None if left is None else max(left, 0.0))
                return
            except Empty:
                left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError() from None
            longest = self.polling_interval or 0.0
            nap = min(pause, longest, longest if left is None else left)
            if nap > 0:
                time.sleep(nap)
            pause *= 2

    def _drain_channel(
        self, channel: Any, callback: Callable[..., Any], timeout: float | None = None
    ) -> Any:
        return channel.drain_events(callback=callback, timeout=timeout)

    def _deliver(self, message: Any, queue: str) -> None:
        """Hand a raw message to a consumer of ``queue``; called by polling channels.

        Raises:
            KeyError: no queue was named.
        """
        if not queue:
            raise KeyError(f"Received message without destination queue: {message}")
        consumer = self.dispatcher.consumers.next(queue) or self.dispatcher.consumers.any(queue)
        if consumer is None:
            logger.warning(
                "message of queue %r, which nobody consumes: put back", queue,
                extra=log_fields(self.client, queue=queue, reason="no consumer"),
            )  # fmt: skip
            self._reject_inbound_message(message, queue)
            return
        consumer.deliver(message)

    def on_message_ready(self, channel: Any, message: Any, queue: str) -> None:
        """Hand a raw message to the consumer of ``queue`` on ``channel``.

        Raises:
            KeyError: there is none.
        """
        consumers = self.dispatcher.consumers
        consumer = consumers.next(queue, channel) or consumers.any(queue, channel)
        if consumer is None:
            raise KeyError(f"Message for queue {queue!r} without consumers: {message}")
        consumer.deliver(message)

    def _reject_inbound_message(self, raw_message: Any, queue: str = "") -> None:
        for channel in self.channels:
            message = channel.message_to_python(raw_message)
            claim = getattr(message, "claim", None)
            if claim is not None:
                self.keeper.settle(releases=(claim,))
            elif queue:
                channel._put(queue, {**raw_message, "redelivered": True})
            else:
                channel._restore(message)
            return


@cache
def _has_hooks(channel: type) -> bool:
    """Whether a class of channels gets its messages by hooks of its own."""
    return overrides(channel, Channel, "_get", "_poll", "_get_and_deliver") or hasattr(
        channel, "_get_many"
    )
