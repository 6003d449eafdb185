"""Programs that consume until they are told to stop, whatever happens to the connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from itertools import count
from time import monotonic, sleep
from typing import Any

from kombu.common.insurance import ignore_errors
from kombu.log import get_logger
from kombu.messaging import Consumer, Producer
from kombu.utils.limits import TokenBucket
from kombu.utils.logfields import log_fields, message_fields
from kombu.utils.objects import cached_property

__all__ = ("ConsumerMixin", "ConsumerProducerMixin")

logger = get_logger(__name__)


class ConsumerMixin:
    """Mixin for a program that consumes.

    ::

        class Worker(ConsumerMixin):
            def __init__(self, connection):
                self.connection = connection

            def get_consumers(self, Consumer, channel):
                return [Consumer([queue], callbacks=[self.handle], prefetch_count=10)]

            def handle(self, body, message):
                ...
                message.ack()

        Worker(connection).run()

    When the connection is lost, a new one is made, and :meth:`get_consumers` is asked again, so
    that queues, consumers and prefetch limits are as they were.

    The methods ``on_...`` and :meth:`extra_context` are there to be overridden.
    """

    #: the connection that each connection used for consuming is a clone of
    connection: Any

    #: how often connecting is tried again; ``None`` is for ever
    connect_max_retries: int | None = None

    #: set to true, in any thread, to end :meth:`run` within about a second
    should_stop: bool = False

    #: acknowledge, and so drop, what can't be decoded, as before 5.8; by default it is rejected
    ack_undecodable: bool = False

    @cached_property
    def restart_limit(self) -> TokenBucket:
        """How often consuming is begun again: once a second, each time for one token."""
        return TokenBucket(1)

    @property
    def connection_errors(self) -> tuple[type[BaseException], ...]:
        """What is raised when the connection is lost."""
        errors: tuple[type[BaseException], ...] = self.connection.connection_errors
        return errors

    @property
    def channel_errors(self) -> tuple[type[BaseException], ...]:
        """What is raised when the broker refuses something."""
        errors: tuple[type[BaseException], ...] = self.connection.channel_errors
        return errors

    def get_consumers(self, Consumer: Callable[..., Any], channel: Any) -> Sequence[Any]:
        """The consumers; to be written by the program.

        Arguments:
            Consumer: makes a :class:`~kombu.Consumer` on the channel, with
                :meth:`on_decode_error`, from the arguments after ``channel``.
            channel: for consumers made in another way.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement get_consumers")

    def on_connection_revived(self) -> None:
        """Hook: connected, for the first time or again."""

    def on_consume_ready(
        self, connection: Any, channel: Any, consumers: Sequence[Any], **kwargs: Any
    ) -> None:
        """Hook: the consumers are consuming.

        Arguments:
            **kwargs: those given to :meth:`run` or :meth:`consume`.
        """

    def on_consume_end(self, connection: Any, channel: Any) -> None:
        """Hook: the consumers have ended, not by an error."""

    def on_iteration(self) -> None:
        """Hook: before each wait for an event, at least once a second by default."""

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """Hook: a message can't be decoded or isn't accepted.

        It is rejected, by which the broker moves it to the queue's dead letter exchange if there
        is one, and logged with its id. With :attr:`ack_undecodable` it is acknowledged.
        """
        acked = self.ack_undecodable
        logger.error(
            "Can't decode message %s from %s (%s, %s), %s: %r",
            (message.properties or {}).get("message_id") or message.delivery_tag,
            message.delivery_info,
            message.content_type,
            message.content_encoding,
            "acknowledged" if acked else "rejected; it is lost unless dead-lettered",
            exc,
            extra=message_fields(message, reason="undecodable"),
        )
        if acked:
            message.ack()
        else:
            message.reject(requeue=False)

    def on_connection_error(self, exc: BaseException, interval: float) -> None:
        """Hook: connecting failed, and is tried again in ``interval`` seconds."""
        logger.warning(
            "Broker connection error: %r. Trying again in %s seconds.", exc, interval,
            extra=log_fields(self.connection, reason="not connected"),
        )  # fmt: skip

    @contextmanager
    def extra_context(self, connection: Any, channel: Any) -> Iterator[None]:
        """Hook: a context in which is consumed."""
        yield

    def run(self, _tokens: int = 1, **kwargs: Any) -> None:
        """Consume until :attr:`should_stop`, connecting again when need be.

        Arguments:
            _tokens: what a start costs of :attr:`restart_limit`.
            **kwargs: for :meth:`consume`.

        Raises:
            OperationalError: no connection after :attr:`connect_max_retries`.
        """
        while not self.should_stop:
            if not self.restart_limit.can_consume(_tokens):
                sleep(self.restart_limit.expected_time(_tokens))
                continue
            try:
                for _ in self.consume(limit=None, **kwargs):
                    pass
            except self.connection_errors as exc:
                logger.warning(
                    "Connection to broker lost (%r), connecting again.", exc,
                    extra=log_fields(self.connection, reason="connection lost"),
                )  # fmt: skip

    def consume(
        self,
        limit: int | None = None,
        timeout: float | None = None,
        safety_interval: float = 1,
        **kwargs: Any,
    ) -> Iterator[None]:
        """Consume once, until the connection is lost.

        Arguments:
            limit: how many waits for an event; ``None`` is no limit.
            timeout: seconds without an event after which it ends; ``None`` is no limit.
            safety_interval: seconds of each wait, between which :attr:`should_stop` and
                heartbeats are looked after.
            **kwargs: for :meth:`on_consume_ready`.

        Yields:
            ``None`` after each event.

        Raises:
            TimeoutError: no event in ``timeout`` seconds.
        """
        idle, checked = 0.0, monotonic()
        with self.consumer_context(**kwargs) as (connection, _channel, _consumers):
            for _ in range(limit) if limit else count():
                if self.should_stop:
                    break
                self.on_iteration()
                try:
                    connection.drain_events(timeout=safety_interval)
                except TimeoutError:
                    connection.heartbeat_check()
                    checked = monotonic()
                    idle += safety_interval
                    if timeout and idle >= timeout:
                        raise
                except OSError:
                    # Whoever told it to stop may have closed the connection, too.
                    if not self.should_stop:
                        raise
                else:
                    yield
                    idle = 0.0
                    # Messages that come without a pause may need no answer that shows us alive.
                    if monotonic() - checked >= safety_interval:
                        connection.heartbeat_check()
                        checked = monotonic()

    def maybe_conn_error(self, fun: Callable[[], Any]) -> Any:
        """Call ``fun``, ignoring errors of the connection and its channels."""
        return ignore_errors(self, fun)

    def create_connection(self) -> Any:
        """A connection of its own, not yet connected."""
        return self.connection.clone()

    @contextmanager
    def establish_connection(self) -> Iterator[Any]:
        """A connection of its own, connected; closed at the end of the block."""
        connection = self.create_connection()
        try:
            connection.ensure_connection(self.on_connection_error, self.connect_max_retries)
            yield connection
        except TimeoutError:
            # Nothing came, which is no loss of the connection though it may count as one.
            raise
        except connection.connection_errors:
            # No farewell, for the other side may never answer it.
            connection.collect()
            raise
        finally:
            connection.release()

    @contextmanager
    def Consumer(self) -> Iterator[tuple[Any, Any, Sequence[Any]]]:
        """A connection with consumers that are consuming: (connection, channel, consumers)."""
        with self.establish_connection() as connection:
            self.on_connection_revived()
            extra = log_fields(connection, reason="connected")
            logger.info("Connected to %s", connection.as_uri(), extra=extra)
            channel = connection.default_channel
            make = partial(Consumer, channel, on_decode_error=self.on_decode_error)
            consumers = self.get_consumers(make, channel)
            with ExitStack() as consuming:
                for consumer in consumers:
                    consuming.enter_context(consumer)
                yield connection, channel, list(consumers)
            logger.debug("Consumers cancelled")
            self.on_consume_end(connection, channel)
        logger.debug("Connection closed")

    @contextmanager
    def consumer_context(self, **kwargs: Any) -> Iterator[tuple[Any, Any, Sequence[Any]]]:
        """:meth:`Consumer` in the :meth:`extra_context`, after :meth:`on_consume_ready`."""
        consuming: AbstractContextManager[tuple[Any, Any, Sequence[Any]]] = self.Consumer()
        with (
            consuming as (connection, channel, consumers),
            self.extra_context(connection, channel),
        ):
            self.on_consume_ready(connection, channel, consumers, **kwargs)
            yield connection, channel, consumers


class ConsumerProducerMixin(ConsumerMixin):
    """Mixin for a program that consumes and publishes, on a connection each.

    A connection of its own for publishing keeps a broker that holds back publishers from holding
    back consumers, too.
    """

    _producer_connection: Any = None

    def on_consume_end(self, connection: Any, channel: Any) -> None:
        """Close the connection for publishing."""
        if self._producer_connection is not None:
            self._producer_connection.close()
            self._producer_connection = None

    @property
    def producer(self) -> Producer:
        """A :class:`~kombu.Producer` on :attr:`producer_connection`."""
        return Producer(self.producer_connection)

    @property
    def producer_connection(self) -> Any:
        """The connection for publishing, made when it is first needed."""
        if self._producer_connection is None:
            connection = self.connection.clone()
            connection.ensure_connection(self.on_connection_error, self.connect_max_retries)
            self._producer_connection = connection
        return self._producer_connection
