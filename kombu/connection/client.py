"""The connection as applications use it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Any

from amqp.exceptions import RecoverableConnectionError

from kombu import exceptions
from kombu.connection.face import TransportFace
from kombu.connection.health import HealthCheck
from kombu.connection.offspring import Offspring
from kombu.connection.parameters import ConnectionParameters
from kombu.connection.retrying import (
    Reraising,
    Retrying,
    RetryPolicy,
    Revived,
    is_lost,
    policy_in_force,
)
from kombu.middleware.chain import Chain
from kombu.middleware.events import Reconnection
from kombu.middleware.registry import chain_with
from kombu.utils import forking
from kombu.utils.deadlines import limited, time_left
from kombu.utils.functional import retry_over_time
from kombu.utils.loggers import get_logger

__all__ = ("Connection", "is_connection", "maybe_channel")

logger = get_logger(__name__)

#: Transport option -> argument of :meth:`Connection.ensure_connection`.
_CONNECT_OPTIONS = {
    "max_retries": "max_retries",
    "interval_start": "interval_start",
    "interval_step": "interval_step",
    "interval_max": "interval_max",
    "errback": "errback",
    "callback": "callback",
    "connect_retries_timeout": "timeout",
}


class Connection(TransportFace, Offspring, HealthCheck, ConnectionParameters):
    """A connection to a broker, made when it is first used.

    It may be used by one thread at a time; threads share a :class:`ConnectionPool`. A forked
    child connects anew.

    Arguments:
        hostname: host name or URL; several, joined by ``;`` or as a list, are alternates.
        userid: what is not in the URL.
        password: text, or a function that returns it (asked at each connect).
        virtual_host, port: what is not in the URL.
        insist: not used by today's brokers.
        ssl: ``True`` or a mapping of options for TLS.
        transport: name of a transport, ``package.module:Class`` or a class; by default what the
            URL's scheme says.
        connect_timeout: seconds for one attempt to connect.
        transport_options: options of the transport; not changed.
        login_method: SASL mechanism, for AMQP.
        uri_prefix: what stands before ``+`` in the URL's scheme.
        heartbeat: seconds; 0 for none.
        failover_strategy: ``round-robin``, ``shuffle``, or a function that takes the hosts and
            returns an iterator without end.
        alternates: further hosts or URLs.
        credential_provider: for transports that fetch credentials through an object.
        middleware: instances of :class:`~kombu.middleware.Middleware`, the first outermost.

    Raises:
        KeyError: no transport of that name.
        ValueError: something in the URL is wrong; says what.
    """

    #: Names of exchanges and queues that need not be declared again on this connection.
    declared_entities: set[Any] = None  # type: ignore[assignment]

    #: Hooks around what it does; its pools, clones, channels, producers and consumers share it.
    middleware: Chain

    _closed: bool | None = None
    _was_connected: bool = False
    _connection: Any = None
    _default_channel: Any = None
    _transport: Any = None

    def __init__(
        self,
        hostname: Any = "localhost",
        userid: Any = None,
        password: Any = None,
        virtual_host: str | None = None,
        port: int | None = None,
        insist: bool = False,
        ssl: Any = False,
        transport: Any = None,
        connect_timeout: Any = 5,
        transport_options: dict[str, Any] | None = None,
        login_method: str | None = None,
        uri_prefix: str | None = None,
        heartbeat: Any = 0,
        failover_strategy: Any = "round-robin",
        alternates: Sequence[str] | None = None,
        credential_provider: Any = None,
        middleware: Iterable[Any] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            hostname,
            alternates,
            failover_strategy,
            kwargs,
            userid=userid,
            password=password,
            virtual_host=virtual_host,
            port=port,
            insist=insist,
            ssl=ssl,
            transport=transport,
            connect_timeout=connect_timeout,
            transport_options=dict(transport_options or {}),
            login_method=login_method,
            uri_prefix=uri_prefix,
            heartbeat=heartbeat,
            credential_provider=credential_provider,
        )
        self.middleware = middleware if isinstance(middleware, Chain) else chain_with(middleware)
        self.declared_entities = set()
        self._lock = threading.RLock()
        forking.register(self)

    # ---- connecting

    def connect(self) -> Any:
        """Connect now, trying each host, and a single one twice; returns the driver's connection.

        Raises:
            One of :attr:`connection_errors`.
        """
        self._closed = False
        return self._ensure_connection(
            max_retries=max(1, len(self._hosts) - 1) if self.alt else 1,
            reraise_as_library_errors=False,
        )

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Connection:
        """Connect, retrying; returns this connection.

        Arguments:
            errback: called with (exception, seconds until the next try).
            max_retries: how often to try again; ``None`` without limit.
            interval_start: seconds before the first retry (2).
            interval_step: seconds added each time (2).
            interval_max: seconds of the longest wait (30).
            callback: called after each failed attempt, before ``errback``, and once for each
                whole second of waiting; may raise to end it.
            reraise_as_library_errors: raise :exc:`OperationalError` instead of the driver's.
            timeout: seconds for all of it; ``None`` without limit.

        Raises:
            OperationalError: no connection within these limits.
        """
        self._ensure_connection(*args, **kwargs)
        return self

    def _ensure_connection(
        self,
        errback: Callable[[BaseException, float], Any] | None = None,
        max_retries: int | None = None,
        interval_start: float = 2,
        interval_step: float = 2,
        interval_max: float = 30,
        callback: Callable[[], Any] | None = None,
        reraise_as_library_errors: bool = True,
        timeout: float | None = None,
    ) -> Any:
        if self.connected:
            return self._connection

        def on_error(exc: BaseException, intervals: Iterator[float], retries: int) -> float:
            seconds = next(intervals) if self.completes_cycle(retries) else 0
            if errback is not None:
                errback(exc, seconds)
            self.maybe_switch_next()
            return seconds

        reraising = self._reraise_as_library_errors if reraise_as_library_errors else nullcontext
        with limited(timeout), reraising():
            return retry_over_time(
                self._connection_factory,
                self.recoverable_connection_errors,
                errback=on_error,
                max_retries=max_retries,
                interval_start=interval_start,
                interval_step=interval_step,
                interval_max=interval_max,
                callback=callback,
                timeout=time_left(),
            )

    def _connection_factory(self) -> Any:
        """One attempt to connect; oslo.messaging's tests replace this."""
        with self._lock:
            if not self.connected:
                self.declared_entities.clear()
                self._default_channel = None
                with self._shortened_connect_timeout():
                    self._connection = self._connect_hooked()
                self._closed = False
                self._was_connected = True
            return self._connection

    def _connect_hooked(self) -> Any:
        hooks = self.middleware.reconnect if self._was_connected else None
        if hooks is None:
            return self._establish_connection()
        return hooks(Reconnection(self), lambda _: self._establish_connection())

    def _establish_connection(self) -> Any:
        """The driver's connection; applications' tests replace this."""
        return self.transport.establish_connection()

    @contextmanager
    def _shortened_connect_timeout(self) -> Iterator[None]:
        """One attempt takes no longer than there is time; alternates get their share of it."""
        left, usual = time_left(), self.connect_timeout
        share = None if left is None else left / max(1, len(self._hosts))
        if share is not None and (not usual or share < float(usual)):
            self.connect_timeout = share
        try:
            yield
        finally:
            self.connect_timeout = usual

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known without asking the peer."""
        return (
            not self._closed
            and self._connection is not None
            and bool(self.transport.verify_connection(self._connection))
        )

    @property
    def connection(self) -> Any:
        """The driver's connection, made when need be; ``None`` after :meth:`release`."""
        if self._closed:
            return None
        connection = self._connection
        if connection is not None and self.transport.verify_connection(connection):
            return connection
        return self.connect()

    @property
    def default_channel(self) -> Any:
        """The channel for everything that does not ask for one of its own; connects when need be.

        Raises:
            OperationalError: no connection; how it is retried stands in the transport options
                ``max_retries``, ``interval_start``, ``interval_step``, ``interval_max`` and
                ``connect_retries_timeout`` (by default :attr:`connect_timeout`).
        """
        policy = policy_in_force()
        if self.connected:
            pass  # as most often; asked first, because every publish of a pool comes here
        elif policy is not None:
            self._ensure_connection(**policy.connecting())
        else:
            options: dict[str, Any] = {
                "timeout": float(self.connect_timeout or 0) * max(1, len(self._hosts))
            }
            for option, argument in _CONNECT_OPTIONS.items():
                if self.transport_options.get(option) is not None:
                    options[argument] = self.transport_options[option]
            self._ensure_connection(**options)
        if self._default_channel is None or is_lost(self._default_channel):
            self._default_channel = self.channel()
        return self._default_channel

    def channel(self) -> Any:
        """Open a channel.

        Raises:
            RecoverableConnectionError: after :meth:`release`.
        """
        connection = self.connection
        if connection is None:
            raise RecoverableConnectionError("the connection was released")
        return self.transport.create_channel(connection)

    # ---- retrying

    def ensure(
        self,
        obj: Any,
        fun: Callable[..., Any],
        errback: Callable[[BaseException, float], Any] | None = None,
        max_retries: int | None = None,
        interval_start: float = 1,
        interval_step: float = 1,
        interval_max: float = 1,
        on_revive: Callable[[Any], Any] | None = None,
        retry_errors: Any = None,
        timeout: float | None = None,
    ) -> Callable[..., Any]:
        """Decorate ``fun`` so that it is called again after a lost connection.

        The policy holds for connecting as well, also where ``fun`` connects by itself.

        Arguments:
            obj: has a method ``revive`` that takes the new channel.
            fun: the function.
            errback: called with (exception, seconds) before each retry.
            max_retries: how often; 0 not at all, ``None`` without limit.
            interval_start: seconds before the second retry; the first is immediate.
            interval_step: seconds added each time.
            interval_max: seconds of the longest interval.
            on_revive: called with the new channel.
            retry_errors: further exceptions after which to call again.
            timeout: seconds for all of it. A call that is under way is not cut short: give it
                a limit of its own.

        Raises:
            OperationalError: (when called) a connection or channel error, the policy being at
                its end.
        """
        policy = RetryPolicy(
            max_retries, interval_start, interval_step, interval_max, errback, timeout
        )
        retrying = Retrying(self, obj, fun, policy, on_revive, tuple(retry_errors or ()))

        def ensured(*args: Any, **kwargs: Any) -> Any:
            return retrying.call(*args, **kwargs)

        ensured.__name__ = f"{getattr(fun, '__name__', type(fun).__name__)}(ensured)"
        ensured.__doc__ = fun.__doc__
        ensured.__module__ = fun.__module__
        return ensured

    def autoretry(
        self, fun: Callable[..., Any], channel: Any = None, **ensure_options: Any
    ) -> Callable[..., Any]:
        """Decorate ``fun``, which takes ``channel`` by keyword, as :meth:`ensure` does.

        Returns:
            A function that returns the result and the channel in use.
        """
        state = Revived(fun, channel)

        def with_channel(*args: Any, **kwargs: Any) -> Any:
            if state.channel is None:
                state.revive(self.default_channel)
            return fun(*args, channel=state.channel, **kwargs), state.channel

        with_channel.__name__ = getattr(fun, "__name__", "fun")
        with_channel.__doc__ = fun.__doc__
        return self.ensure(state, with_channel, **ensure_options)

    def _reraise_as_library_errors(
        self,
        ConnectionError: type[Exception] = exceptions.OperationalError,
        ChannelError: type[Exception] = exceptions.OperationalError,
    ) -> AbstractContextManager[None]:
        return Reraising(self, ConnectionError, ChannelError)

    # ---- the transport

    @property
    def transport(self) -> Any:
        """The transport, made when first asked for."""
        if self._transport is None:
            self._transport = self.create_transport()
        return self._transport

    def create_transport(self) -> Any:
        """A new transport for this connection."""
        return self.get_transport_cls()(client=self)

    def _cloned(self, make: Callable[..., Any], changes: dict[str, Any]) -> Any:
        copy = super()._cloned(make, changes)
        if "middleware" not in changes:
            copy.middleware = self.middleware
        return copy

    def _own_key(self) -> tuple[Any, ...]:
        # Pools that are found by equality must not serve others' middleware.
        return tuple(map(id, self.middleware)) if len(self.middleware) else ()

    # ---- ending

    def switch(self, conn_str: str) -> None:
        """Close, and use another host from the next connect on.

        Arguments:
            conn_str: see :meth:`ConnectionParameters.switch`.
        """
        self.close()
        self._closed = False
        super().switch(conn_str)

    def revive(self, new_channel: Any) -> None:
        """After reconnecting: drop the default channel, unless it is ``new_channel``."""
        old = self._default_channel
        if old is not None and old is not new_channel:
            self.maybe_close_channel(old)
            self._default_channel = None

    def maybe_close_channel(self, channel: Any) -> None:
        """Close a channel, whatever state the connection is in."""
        if channel is None or is_lost(channel):
            return
        try:
            channel.close()
        except (*self.connection_errors, *self.channel_errors, OSError) as exc:
            logger.debug("closing a channel: %r", exc)

    def release(self) -> None:
        """Close the connection; used again, :meth:`connect` and others connect anew."""
        self._closed = True
        self.maybe_close_channel(self._default_channel)
        connection, transport = self._forget()
        if connection is not None:
            try:
                transport.close_connection(connection)
            except (*transport.connection_errors, *transport.channel_errors, OSError) as exc:
                logger.debug("closing the connection: %r", exc)

    close = release

    def collect(self, socket_timeout: float | None = None) -> None:
        """Free what a lost connection holds, without asking the peer.

        Arguments:
            socket_timeout: most seconds for what has to go over the socket nevertheless.
        """
        connection, transport = self._forget()
        if connection is not None:
            try:
                transport.collect_connection(connection, socket_timeout)
            except (*transport.connection_errors, *transport.channel_errors, OSError) as exc:
                logger.debug("collecting the connection: %r", exc)

    def _forget(self) -> tuple[Any, Any]:
        """Be unconnected; returns the driver's connection and the transport there were."""
        held = self._connection, self._transport
        self.declared_entities.clear()
        self._default_channel = self._connection = self._transport = None
        self.__dict__.pop("manager", None)
        return held

    def after_fork_in_child(self) -> None:
        """Leave the parent's connection to the parent."""
        self._lock = threading.RLock()
        channel = self._default_channel
        connection, transport = self._forget()
        if connection is not None:
            forking.keep(connection, transport, channel)
            transport.abandon_connection(connection)

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.release()


def maybe_channel(channel: Any) -> Any:
    """A connection's default channel; anything else as it is."""
    return channel.default_channel if is_connection(channel) else channel


def is_connection(obj: Any) -> bool:
    """Whether ``obj`` is a :class:`Connection`."""
    return isinstance(obj, Connection)
