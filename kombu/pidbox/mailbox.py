"""The side that sends commands and collects replies."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from time import monotonic, time
from typing import Any

from amqp.exceptions import NotFound

from kombu.clocks import LamportClock
from kombu.common.oid import oid_from
from kombu.entity import Exchange, Queue
from kombu.log import get_logger
from kombu.messaging import Consumer, Producer
from kombu.messaging.declaration import maybe_declare
from kombu.messaging.target import client_of
from kombu.utils.functional import LRUCache, maybe_evaluate
from kombu.utils.objects import cached_property
from kombu.utils.uuid import uuid

from .node import Handler, Node

logger = get_logger(__name__)

#: seconds after which the queue of a requester that went away is deleted
REPLY_QUEUE_EXPIRES = 10

#: requests of which replies that came early or late are kept
UNCLAIMED_LIMIT = 1000


class Mailbox:
    """A group of nodes that receive commands, and what is needed to send them some.

    Arguments:
        namespace: the group's name, which exchanges and queues are named by.
        type: of the exchange for commands: ``"direct"`` or ``"fanout"``; both reach all nodes.
        connection: where commands are sent. ``mailbox(connection)`` is a copy with another.
        clock: a :class:`~kombu.clocks.LamportClock`.
        accept: content types taken in commands and replies.
        serializer: of commands and replies; ``None`` is JSON.
        producer_pool: a pool of producers to send with, or a
            :class:`~kombu.utils.functional.lazy` of one; without it, a producer on the channel.
        queue_ttl: seconds that commands wait in a node's queue.
        queue_expires: seconds unused after which a node's queue is deleted.
        queue_durable: queues outlive a restart of the broker.
        queue_exclusive: queues belong to one connection.
        reply_queue_ttl: seconds that replies wait.
        reply_queue_expires: seconds unused after which a reply queue is deleted.

    Raises:
        ValueError: ``queue_durable`` and ``queue_exclusive`` at once.
    """

    node_cls = Node
    exchange_fmt = "%s.pidbox"
    reply_exchange_fmt = "reply.%s.pidbox"

    namespace: str = None  # type: ignore[assignment]  # set by __init__; None as recorded
    connection: Any = None
    type: str = "direct"
    exchange: Exchange = None  # type: ignore[assignment]
    reply_exchange: Exchange = None  # type: ignore[assignment]
    accept: Sequence[str] = ["json"]
    serializer: str | None = None

    def __init__(
        self,
        namespace: str,
        type: str = "direct",
        connection: Any = None,
        clock: LamportClock | None = None,
        accept: Sequence[str] | None = None,
        serializer: str | None = None,
        producer_pool: Any = None,
        queue_ttl: float | None = None,
        queue_expires: float | None = None,
        queue_durable: bool = False,
        queue_exclusive: bool = True,
        reply_queue_ttl: float | None = None,
        reply_queue_expires: float | None = 10.0,
    ) -> None:
        if queue_durable and queue_exclusive:
            raise ValueError(
                "queue_durable and queue_exclusive exclude each other: an exclusive queue is "
                "deleted with its connection"
            )
        self.namespace = namespace
        self.connection = connection
        self.type = type
        self.clock = LamportClock() if clock is None else clock
        self.exchange = self._exchange(self.exchange_fmt, type)
        self.reply_exchange = self._exchange(self.reply_exchange_fmt, "direct")
        self.unclaimed: LRUCache[str, deque[Any]] = LRUCache(limit=UNCLAIMED_LIMIT)
        self.accept = self.accept if accept is None else accept
        self.serializer = self.serializer if serializer is None else serializer
        self.queue_ttl = queue_ttl
        self.queue_expires = queue_expires
        self.queue_durable = queue_durable
        self.queue_exclusive = queue_exclusive
        self.reply_queue_ttl = reply_queue_ttl
        self.reply_queue_expires = reply_queue_expires
        self._producer_pool = producer_pool

    def _exchange(self, name_format: str, type: str) -> Exchange:
        return Exchange(
            name_format % self.namespace, type=type, durable=False, delivery_mode="transient"
        )

    def __call__(self, connection: Any) -> Mailbox:
        """A copy with another connection."""
        bound = copy(self)
        bound.connection = connection
        return bound

    def Node(
        self,
        hostname: str | None = None,
        state: Any = None,
        channel: Any = None,
        handlers: Mapping[str, Handler] | None = None,
    ) -> Node:
        """A :class:`Node` of this mailbox; by default named as the machine."""
        return self.node_cls(
            hostname or socket.gethostname(), state, channel, handlers, mailbox=self
        )

    @property
    def oid(self) -> str:
        """The requester's id, another one in each thread."""
        return oid_from(self)

    @cached_property
    def producer_pool(self) -> Any:
        """The pool of producers, or ``None``; after ``del`` it is asked for anew."""
        return maybe_evaluate(self._producer_pool)

    def get_queue(self, hostname: str) -> Queue:
        """The queue of a node."""
        return self._queue(
            f"{hostname}.{self.namespace}.pidbox",
            self.exchange,
            "",
            expires=self.queue_expires,
            message_ttl=self.queue_ttl,
        )

    def get_reply_queue(self) -> Queue:
        """The queue to which this thread's replies come."""
        oid = self.oid
        return self._queue(
            f"{oid}.{self.reply_exchange.name}",
            self.reply_exchange,
            oid,
            expires=self.reply_queue_expires,
            message_ttl=self.reply_queue_ttl,
        )

    def _queue(self, name: str, exchange: Exchange, routing_key: str, **times: Any) -> Queue:
        return Queue(
            name,
            exchange,
            routing_key,
            durable=self.queue_durable,
            exclusive=self.queue_exclusive,
            auto_delete=not self.queue_durable,
            **times,
        )

    @property
    def reply_queue(self) -> Queue:
        """:meth:`get_reply_queue`."""
        return self.get_reply_queue()

    @contextmanager
    def producer_or_acquire(self, producer: Any = None, channel: Any = None) -> Iterator[Any]:
        """The producer given, or one of the pool, or one on the channel."""
        if producer is not None:
            yield producer
        elif self.producer_pool is not None:
            with self.producer_pool.acquire() as pooled:
                yield pooled
        else:
            yield Producer(channel, auto_declare=False)

    def call(
        self,
        destination: Sequence[str],
        command: str,
        kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        callback: Callable[[Any], object] | None = None,
        channel: Any = None,
    ) -> Any:
        """Send a command to some nodes, and wait for their replies.

        Arguments:
            destination: names of nodes.
            command: its name.
            kwargs: its arguments.
            timeout: seconds to wait for each reply; ``None`` is as long as it takes.
            callback: called with each reply.
            channel: instead of the connection's default channel.

        Returns:
            replies, each ``{node: result}``; fewer than nodes when time ran out.
        """
        return self._broadcast(
            command,
            kwargs,
            destination,
            reply=True,
            timeout=timeout,
            callback=callback,
            channel=channel,
        )

    def cast(
        self, destination: Sequence[str], command: str, kwargs: Mapping[str, Any] | None = None
    ) -> None:
        """Send a command to some nodes, without replies."""
        self._broadcast(command, kwargs, destination, reply=False)

    def abcast(self, command: str, kwargs: Mapping[str, Any] | None = None) -> None:
        """Send a command to all nodes, without replies."""
        self._broadcast(command, kwargs, reply=False)

    def multi_call(
        self,
        command: str,
        kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = 1,
        limit: int | None = None,
        callback: Callable[[Any], object] | None = None,
        channel: Any = None,
    ) -> Any:
        """Send a command to all nodes, and wait for replies.

        Arguments:
            limit: most replies; ``None``: until there was none for ``timeout`` seconds.
        """
        return self._broadcast(
            command,
            kwargs,
            reply=True,
            timeout=timeout,
            limit=limit,
            callback=callback,
            channel=channel,
        )

    # The following are called by Celery.

    def _broadcast(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        destination: Sequence[str] | None = None,
        reply: bool = False,
        timeout: float | None = 1,
        limit: int | None = None,
        callback: Callable[[Any], object] | None = None,
        channel: Any = None,
        serializer: str | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> list[Any] | None:
        if destination is not None and not isinstance(destination, (list, tuple)):
            raise ValueError(f"destination must be a list/tuple not {destination.__class__}")
        channel = channel or self.connection.default_channel
        ticket = uuid() if reply else None
        if limit is None and destination:
            limit = len(destination)
        self._publish(
            command,
            dict(arguments or {}),
            destination=destination,
            reply_ticket=ticket,
            channel=channel,
            timeout=timeout,
            serializer=serializer,
            pattern=pattern,
            matcher=matcher,
        )
        if ticket is None:
            return None
        return self._collect(
            ticket, limit=limit, timeout=timeout, callback=callback, channel=channel
        )

    def _publish(
        self,
        type: str,
        arguments: Mapping[str, Any],
        destination: Sequence[str] | None = None,
        reply_ticket: str | None = None,
        channel: Any = None,
        timeout: float | None = None,
        serializer: str | None = None,
        producer: Any = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> None:
        channel = channel or self.connection.default_channel
        command = {
            "method": type,
            "arguments": arguments,
            "destination": destination,
            "pattern": pattern,
            "matcher": matcher,
        }
        if reply_ticket:
            # Before the command leaves, so that no reply can be too early; each time, for the
            # queue may have expired since.
            maybe_declare(self.get_reply_queue(), channel)
            reply_to = {"exchange": self.reply_exchange.name, "routing_key": self.oid}
            command.update(ticket=reply_ticket, reply_to=reply_to)
        with self.producer_or_acquire(producer, channel) as producer:
            producer.publish(
                command,
                # By its name, so that commands are persistent as they always were.
                exchange=self.exchange.name,
                declare=[self.exchange],
                headers={
                    "clock": self.clock.forward(),
                    "expires": time() + timeout if timeout else 0,
                },
                serializer=serializer or self.serializer,
                retry=True,
            )

    def _publish_reply(
        self,
        reply: Any,
        exchange: str,
        routing_key: str,
        ticket: str | None,
        channel: Any = None,
        producer: Any = None,
        **opts: Any,
    ) -> None:
        channel = channel or self.connection.default_channel
        target = Exchange(exchange, type="direct", delivery_mode="transient", durable=False)
        with self.producer_or_acquire(producer, channel) as producer:
            # The pool's connection may be another one than that which heard the command.
            self._learn_binding(producer.channel, target, routing_key)
            producer.publish(
                reply,
                exchange=target,
                routing_key=routing_key,
                declare=[target],
                headers={"ticket": ticket, "clock": self.clock.forward()},
                retry=True,
                **opts,
            )

    @staticmethod
    def _learn_binding(channel: Any, exchange: Exchange, routing_key: str) -> None:
        """Bind the reply queue here, too, where the backend can't tell us of its binding."""
        if channel.shares_bindings:
            return
        queue = f"{routing_key}.{exchange.name}"
        try:
            channel.queue_declare(queue=queue, passive=True)
        except NotFound:
            logger.warning("reply queue %r is gone: nobody waits for this reply", queue)
            return
        exchange(channel).declare()
        channel.queue_bind(queue=queue, exchange=exchange.name, routing_key=routing_key)

    def _collect(
        self,
        ticket: str,
        limit: int | None = None,
        timeout: float | None = 1,
        callback: Callable[[Any], object] | None = None,
        channel: Any = None,
        accept: Sequence[str] | None = None,
    ) -> list[Any]:
        channel = channel or self.connection.default_channel
        queue = self.get_reply_queue()
        replies: list[Any] = []

        def claim(body: Any) -> None:
            if callback is not None:
                callback(body)
            replies.append(body)

        def on_reply(body: Any, message: Any) -> None:
            headers = message.headers
            self.clock.adjust(headers.get("clock") or 0)
            expires = headers.get("expires")
            if expires and time() > expires:
                return
            answered = headers.get("ticket", ticket)
            if answered == ticket:
                claim(body)
            else:
                self.unclaimed.setdefault(answered, deque()).append(body)

        for body in self.unclaimed.pop(ticket, ()):
            claim(body)
        consumer = Consumer(
            channel,
            [queue],
            no_ack=True,
            accept=self.accept if accept is None else accept,
            callbacks=[on_reply],
        )
        try:
            with consumer:
                self._drain_replies(client_of(channel), replies, limit, timeout)
            return replies
        finally:
            channel.after_reply_message_received(queue.name)

    @staticmethod
    def _drain_replies(
        client: Any, replies: list[Any], limit: int | None, timeout: float | None
    ) -> None:
        """Wait until there are ``limit`` replies, or none came for ``timeout`` seconds."""
        left = timeout
        while not limit or len(replies) < limit:
            known, began = len(replies), monotonic()
            try:
                client.drain_events(timeout=left)
            except TimeoutError:
                return
            if timeout is not None and left is not None:
                # What else comes over this connection doesn't prolong the wait.
                left = timeout if len(replies) > known else left - (monotonic() - began)
                if left <= 0:
                    return
