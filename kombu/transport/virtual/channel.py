"""The virtual channel: AMQP's verbs, composed of the parts beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from queue import Empty
from typing import Any, ClassVar

from kombu.transport import base
from kombu.transport.virtual.consuming import ConsumeVerbs
from kombu.transport.virtual.dispatch import Consumer
from kombu.transport.virtual.entities import EntityVerbs
from kombu.transport.virtual.envelope import Base64, Message, leased
from kombu.transport.virtual.exchange_types import STANDARD_EXCHANGE_TYPES
from kombu.transport.virtual.hooks import AbstractChannel, HookStore, MissingHooks
from kombu.transport.virtual.publishing import PublishVerbs
from kombu.transport.virtual.qos import QoS
from kombu.transport.virtual.settling import SettleVerbs
from kombu.transport.virtual.state import BrokerState
from kombu.transport.virtual.store import Claim, Envelope, QueueSpec, Store
from kombu.utils.loggers import get_logger

logger = get_logger(__name__)


class Channel(
    EntityVerbs, PublishVerbs, ConsumeVerbs, SettleVerbs, AbstractChannel, base.StdChannel
):
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
        #: Exchanges, queues and bindings, with AMQP's rules about them.
        self.topology = connection.topology
        self.closed = False
        self.is_flowing = True
        self._events: dict[str, set[Callable[..., Any]]] = defaultdict(set)
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
    def shares_bindings(self) -> bool:  # type: ignore[override]
        """Whether bindings made by one client route the messages of all."""
        features = self._backend.features
        return features.shared_topology or not features.shared

    @property
    def supports_batch_publish(self) -> bool:  # type: ignore[override]
        """Whether :meth:`basic_publish_many` saves round trips."""
        return self._backend.features.batch_publish and not self._hooked_put

    @property
    def events(self) -> dict[str, set[Callable[..., Any]]]:
        """Callbacks by event; ``basic_return`` gets ``(exception, exchange, key, message)``."""
        return self._events

    @property
    def state(self) -> BrokerState:
        """Exchanges and bindings of the broker."""
        state: BrokerState = self.connection.state
        return state

    @property
    def qos(self) -> Any:
        """What this channel has given out."""
        if self._qos is None:
            self._qos = self.QoS(self)
        return self._qos

    # ---- the hooks, one line each into the store

    def _get(self, queue: str, timeout: float | None = None) -> Envelope:
        claim = self._claim_one(queue)
        if claim is None:
            raise Empty()
        return leased(claim)

    _plain_get: ClassVar[Any] = staticmethod(_get)

    def _claim_one(self, queue: str) -> Claim | None:
        backend = self._backend
        claims = backend.claim((queue,), 1)
        if not claims:
            return None
        if backend.lease is not None:
            self.connection.keeper.hold(claims)
        return claims[0]

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

    def prepare_queue_arguments(
        self, arguments: Mapping[str, Any] | None, **kwargs: Any
    ) -> Mapping[str, Any] | None:
        """Turn queue options (times in seconds) into ``x-`` arguments."""
        return base.to_rabbitmq_queue_arguments(arguments, **kwargs)

    # ---- life

    def close(self) -> None:
        """End the channel: its consumers, and its hold on what is not acknowledged."""
        if self.closed:
            return
        try:
            with ExitStack() as steps:  # the last first; each is done, whatever the others raise
                if self._qos is not None:
                    steps.callback(self._abandon)
                    steps.callback(self._qos.restore_unacked_once)
                for tag in reversed(self._own):
                    steps.callback(self.basic_cancel, tag)
        finally:
            self.closed = True
            if self._cycle is not None:
                self._cycle.close()
                self._cycle = None
            self.connection.close_channel(self)
            self.exchange_types = {}

    def _get_free_channel_id(self) -> int:
        take = getattr(self.connection, "take_channel_id", None)
        return int(take()) if take is not None else 0
