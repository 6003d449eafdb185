"""What every transport has: the classes that drivers derive from."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from inspect import getattr_static
from types import TracebackType
from typing import Any, ClassVar, NamedTuple

from amqp.exceptions import RecoverableConnectionError

from kombu.exceptions import BatchPublishError
from kombu.message import Message
from kombu.transport.clients import missing_client
from kombu.transport.errors import ErrorTable
from kombu.transport.features import Features
from kombu.utils.imports import symbol_by_name
from kombu.utils.objects import cached_property
from kombu.utils.time import maybe_s_to_ms

__all__ = (
    "RABBITMQ_QUEUE_ARGUMENTS",
    "Implements",
    "Management",
    "Message",
    "Publish",
    "StdChannel",
    "Transport",
    "default_transport_capabilities",
    "missing_client",
    "says_recoverable_errors",
    "to_rabbitmq_queue_arguments",
)

#: Queue option -> (argument as RabbitMQ spells it, conversion). Times become milliseconds.
RABBITMQ_QUEUE_ARGUMENTS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "expires": ("x-expires", maybe_s_to_ms),
    "message_ttl": ("x-message-ttl", maybe_s_to_ms),
    "max_length": ("x-max-length", int),
    "max_length_bytes": ("x-max-length-bytes", int),
    "max_priority": ("x-max-priority", int),
}


def to_rabbitmq_queue_arguments(
    arguments: Mapping[str, Any] | None, **options: Any
) -> Mapping[str, Any] | None:
    """Add queue options to queue arguments.

    Arguments:
        arguments: arguments given so far; options win over them.
        **options: those of :data:`RABBITMQ_QUEUE_ARGUMENTS`, times in seconds; ``None`` is
            the same as not given.

    Returns:
        A new mapping; ``arguments`` itself when there is nothing to add.

    Raises:
        KeyError: an option of another name.
        ValueError: an option's value is no number.
    """
    added: dict[str, Any] = {}
    for name, value in options.items():
        argument, convert = RABBITMQ_QUEUE_ARGUMENTS[name]
        if value is not None:
            added[argument] = convert(value)
    return {**(arguments or {}), **added} if added else arguments


class Publish(NamedTuple):
    """One message of a batch.

    Arguments:
        message: as ``channel.prepare_message`` returned it.
        options: further keyword arguments of ``basic_publish``.
    """

    message: Any
    exchange: str
    routing_key: str
    options: Mapping[str, Any]


class Implements(dict[str, Any]):
    """Capabilities of a transport, readable as attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def extend(self, **kwargs: Any) -> Implements:
        """A copy with these changes."""
        return type(self)(self, **kwargs)

    @classmethod
    def of(cls, features: Features) -> Implements:
        """What ``features`` come to in the classic terms."""
        return cls(
            asynchronous=features.event_loop,
            batch_publish=features.batch_publish,
            exchange_type=features.exchange_types,
            heartbeats=features.heartbeats,
        )


default_transport_capabilities = Implements.of(Features())


class _DerivedErrors:
    """A tuple of error classes that follows from the transport's :class:`ErrorTable`.

    A transport that assigns its own tuple, on the class or on the instance, replaces it. What it
    adds to the plain tuples counts as a recoverable connection error, channel errors too (only
    a new connection is sure to have channels that work), unless it says which are recoverable.

    Arguments:
        additions: names of the plain tuples whose additions are part of this one.
    """

    def __init__(self, *additions: str) -> None:
        self.additions = additions

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(
        self, instance: Transport | None, owner: type[Transport]
    ) -> tuple[type[BaseException], ...]:
        table = owner.errors
        derived: tuple[type[BaseException], ...] = getattr(table, self.name)
        if not self.additions:
            return derived
        transport = owner if instance is None else instance
        added = [
            error
            for name in self.additions
            for error in getattr(transport, name)
            if error not in getattr(table, name)
        ]
        return (*derived, *added)


def says_recoverable_errors(transport: Any) -> bool:
    """Whether it says itself after which errors connecting again may help, as AMQP's does."""
    found = getattr_static(transport, "recoverable_connection_errors", None)
    return not isinstance(found, _DerivedErrors)


class StdChannel:
    """What channels of all transports have in common."""

    #: Consumer tags without acknowledgement, where the transport keeps them.
    no_ack_consumers: set[str] | None = None

    #: Whether bindings made by one client route the messages of all.
    shares_bindings: bool = True

    #: Whether :meth:`basic_publish_many` is quicker than one publish after another.
    supports_batch_publish: bool = False

    def Consumer(self, *args: Any, **kwargs: Any) -> Any:
        """A :class:`kombu.messaging.Consumer` on this channel."""
        # By name, because channels stand below messaging.
        return symbol_by_name("kombu.messaging:Consumer")(self, *args, **kwargs)

    def Producer(self, *args: Any, **kwargs: Any) -> Any:
        """A :class:`kombu.messaging.Producer` on this channel."""
        return symbol_by_name("kombu.messaging:Producer")(self, *args, **kwargs)

    def get_bindings(self) -> Any:
        """All bindings of the virtual host, where the transport can list them."""
        raise _not_implemented(self, "get_bindings")

    def needs_no_ack(self, consumer_tag: str) -> bool:
        """Whether that consumer's messages count as acknowledged from the start."""
        return consumer_tag in (self.no_ack_consumers or ())

    def after_reply_message_received(self, queue: str) -> None:
        """Hook: a reply was taken from ``queue``, which serves this one request only."""

    def prepare_queue_arguments(
        self, arguments: Mapping[str, Any] | None, **kwargs: Any
    ) -> Mapping[str, Any] | None:
        """Hook: turn queue options into the arguments that this broker takes."""
        return arguments

    def basic_publish_many(
        self, publishes: Sequence[Publish], timeout: float | None = None
    ) -> None:
        """Publish messages in order.

        Arguments:
            timeout: seconds for each of the messages; ``None`` is the transport's own limit.

        Raises:
            BatchPublishError: some were refused; ``failed`` says which, and all others are
                published.
            Exception: a connection error as it is; nothing is known of the messages after it.
        """
        limit = {} if timeout is None else {"timeout": timeout}
        refused = getattr(getattr(self, "connection", None), "channel_errors", ())
        failed: dict[int, BaseException] = {}
        for index, publish in enumerate(publishes):
            try:
                self.basic_publish(  # type: ignore[attr-defined]
                    publish.message,
                    exchange=publish.exchange,
                    routing_key=publish.routing_key,
                    **limit,
                    **publish.options,
                )
            except refused as exc:
                failed[index] = exc
        if failed:
            raise BatchPublishError(
                f"{len(failed)} of {len(publishes)} messages were refused", failed=failed
            )

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()  # type: ignore[attr-defined]


class Management:
    """Administration of a broker through means other than channels.

    Arguments:
        transport: the transport it belongs to.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def get_bindings(self) -> Any:
        """All bindings of the virtual host."""
        raise _not_implemented(self, "get_bindings")


class Transport:
    """Base of all transports.

    A driver states :attr:`features` and :attr:`errors`; :attr:`implements` and the four tuples
    of errors follow from them. A driver that assigns those itself is left alone.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Management = Management

    #: The connection that made this transport.
    client: Any = None

    #: Whether the transport takes the whole URL, as ``hostname``, and parses it itself.
    can_parse_url: bool = False

    #: Port where the URL names none.
    default_port: int | None = None

    #: What the transport can do.
    features: ClassVar[Features] = Features()

    #: What the errors of its client library mean.
    errors: ClassVar[ErrorTable] = ErrorTable()

    #: Errors after which the connection is of no use.
    connection_errors: Any = _DerivedErrors()

    #: Errors that refuse one operation.
    channel_errors: Any = _DerivedErrors()

    #: Errors after which connecting again may help.
    recoverable_connection_errors: Any = _DerivedErrors("connection_errors", "channel_errors")

    #: Errors after which the same operation on a new channel may succeed.
    recoverable_channel_errors: Any = _DerivedErrors()

    #: The kind of broker: ``amqp``, ``redis``, ``sql`` ...
    driver_type: str = "N/A"

    #: The client library.
    driver_name: str = "N/A"

    #: Capabilities in the classic terms.
    implements: Implements = default_transport_capabilities

    __reader: Callable[[Any], None] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "features" in cls.__dict__ and "implements" not in cls.__dict__:
            cls.implements = Implements.of(cls.features)

    def __init__(self, client: Any, **kwargs: Any) -> None:
        self.client = client

    # ---- what a driver provides

    def establish_connection(self) -> Any:
        """Connect; returns the driver's connection."""
        raise _not_implemented(self, "establish_connection")

    def close_connection(self, connection: Any) -> None:
        """Close what :meth:`establish_connection` returned."""
        raise _not_implemented(self, "close_connection")

    def collect_connection(self, connection: Any, timeout: float | None = None) -> None:
        """Free what a lost connection holds, without asking the peer.

        Arguments:
            timeout: most seconds for what has to go over the socket nevertheless.
        """
        self.close_connection(connection)

    def abandon_connection(self, connection: Any) -> None:
        """In a forked child: make sure that nothing is ever sent on the parent's connection.

        The caller keeps a reference, so that finalizers don't run before the process ends.
        """

    def create_channel(self, connection: Any) -> Any:
        """Open a channel."""
        raise _not_implemented(self, "create_channel")

    def close_channel(self, connection: Any) -> None:
        """Close a channel."""
        raise _not_implemented(self, "close_channel")

    def drain_events(self, connection: Any, **kwargs: Any) -> Any:
        """Wait for one event and deliver it.

        Raises:
            TimeoutError: nothing arrived in ``timeout`` seconds.
        """
        raise _not_implemented(self, "drain_events")

    def heartbeat_check(self, connection: Any, rate: int = 2) -> None:
        """Send a heartbeat when one is due, and raise when the peer's are missing."""

    def driver_version(self) -> str:
        """Version of the client library."""
        return "N/A"

    def get_heartbeat_interval(self, connection: Any) -> float:
        """Seconds between heartbeats as agreed with the broker; 0 for none."""
        return 0

    def verify_connection(self, connection: Any) -> bool:
        """Whether ``connection`` is still usable, as far as is known without asking the peer."""
        return True

    def qos_semantics_matches_spec(self, connection: Any) -> bool:
        """Whether ``basic_qos`` without ``global`` counts per consumer, as AMQP 0-9-1 has it."""
        return True

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """For transports that parse their own URL: ``uri`` for display."""
        raise NotImplementedError(f"{type(self).__qualname__}.as_uri")

    @property
    def default_connection_params(self) -> dict[str, Any]:
        """What is connected to when the URL does not say."""
        return {}

    # ---- event loop

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let ``loop`` watch the connection."""

    def unregister_from_event_loop(self, connection: Any, loop: Any) -> None:
        """Undo :meth:`register_with_event_loop`."""

    def on_readable(self, connection: Any, loop: Any) -> None:
        """Called by the event loop when the connection's socket has data."""
        reader = self.__reader
        if reader is None:
            reader = self.__reader = self._make_reader(connection)
        reader(loop)

    def _make_reader(
        self,
        connection: Any,
        timeout: type[BaseException] = TimeoutError,
        error: type[BaseException] = OSError,
        _unavail: Sequence[int] = (errno.EAGAIN, errno.EINTR),
    ) -> Callable[[Any], None]:
        """A function that delivers one event and asks the loop to be called for the next.

        One at a time, so that other sockets of the loop get their turn.
        """

        def read(loop: Any) -> None:
            if not connection.connected:
                raise RecoverableConnectionError("Socket was disconnected")
            try:
                connection.drain_events(timeout=0)
            except timeout:
                return
            except error as exc:
                if getattr(exc, "errno", None) in _unavail:
                    return
                raise
            loop.call_soon(read, loop)

        return read

    # ---- questions

    @property
    def supports_heartbeats(self) -> bool:
        """Whether the protocol has heartbeats."""
        return bool(self.implements.heartbeats)

    @property
    def supports_ev(self) -> bool:
        """Whether it works with the event loop."""
        return bool(self.implements.asynchronous)

    def get_manager(self, *args: Any, **kwargs: Any) -> Any:
        """Administration of the broker."""
        return self.Management(self)

    @cached_property
    def manager(self) -> Any:
        """The one :meth:`get_manager` that this transport keeps."""
        return self.get_manager()


def _not_implemented(instance: object, method: str) -> NotImplementedError:
    cls = type(instance)
    return NotImplementedError(
        f"Transport {cls.__module__}.{cls.__name__} does not implement {method}"
    )
