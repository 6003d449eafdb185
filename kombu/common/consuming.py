"""Loops that receive messages, and replies."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from kombu.serialization import registry

Callbacks = list[Callable[[Any, Any], object]]


def eventloop(
    conn: Any,
    limit: int | None = None,
    timeout: float | None = None,
    ignore_timeouts: bool = False,
) -> Iterator[Any]:
    """Drain a connection, again and again.

    ::

        for _ in eventloop(connection, timeout=1, ignore_timeouts=True):
            ...  # between two events

    Arguments:
        conn: the connection.
        limit: how often; ``None`` is for ever.
        timeout: seconds to wait for each event; ``None`` is as long as it takes.
        ignore_timeouts: go on when there was none; otherwise that is raised.

    Yields:
        what ``drain_events`` returns, mostly ``None``.

    Raises:
        TimeoutError: no event in ``timeout`` seconds.
    """
    for _ in range(limit) if limit else count():
        try:
            yield conn.drain_events(timeout=timeout)
        except TimeoutError:
            # With a limit, waits are counted too, so that it comes to an end.
            if timeout and not ignore_timeouts:
                raise


def drain_consumer(
    consumer: Any,
    limit: int | None = 1,
    timeout: float | None = None,
    callbacks: Callbacks | None = None,
) -> Iterator[tuple[Any, Any]]:
    """Receive messages with a consumer.

    Arguments:
        consumer: a :class:`~kombu.Consumer` that isn't consuming yet; it is cancelled at the end.
        limit: how many waits for a message; ``None`` is for ever.
        timeout: seconds for each wait.
        callbacks: called with (body, message), before they are yielded.

    Yields:
        (body, message). They are not acknowledged.
    """
    received: deque[tuple[Any, Any]] = deque()

    def on_message(body: Any, message: Any) -> None:
        received.append((body, message))

    consumer.callbacks = [*(callbacks or []), on_message]
    with consumer:
        client = consumer.channel.connection.client
        for _ in eventloop(client, limit=limit, timeout=timeout, ignore_timeouts=True):
            while received:
                yield received.popleft()


def itermessages(
    conn: Any,
    channel: Any,
    queue: Any,
    limit: int | None = 1,
    timeout: float | None = None,
    callbacks: Callbacks | None = None,
    **kwargs: Any,
) -> Iterator[tuple[Any, Any]]:
    """Receive messages from a queue; see :func:`drain_consumer`.

    Arguments:
        conn: the connection.
        channel: one of its channels.
        queue: a :class:`~kombu.Queue`.
        **kwargs: arguments of :class:`~kombu.Consumer`.
    """
    consumer = conn.Consumer(queues=[queue], channel=channel, **kwargs)
    return drain_consumer(consumer, limit=limit, timeout=timeout, callbacks=callbacks)


def send_reply(
    exchange: Any,
    req: Any,
    msg: Any,
    producer: Any = None,
    retry: bool = False,
    retry_policy: dict[str, Any] | None = None,
    **props: Any,
) -> Any:
    """Answer a request, in the serialization it came in.

    Arguments:
        exchange: an :class:`~kombu.Exchange` or a name.
        req: the request; its properties ``reply_to`` and ``correlation_id`` say where to.
        msg: the body of the reply.
        producer: what it is sent with.
        retry: connect again and publish again when the connection is lost.
        retry_policy: see :meth:`kombu.Producer.publish`.
        **props: further arguments of :meth:`kombu.Producer.publish`.
    """
    options = {
        "routing_key": req.properties["reply_to"],
        "correlation_id": req.properties.get("correlation_id"),
        "serializer": registry.type_to_name[req.content_type],
        "content_encoding": req.content_encoding,
        **props,
    }
    return producer.publish(
        msg, exchange=exchange, retry=retry, retry_policy=retry_policy, **options
    )


def collect_replies(
    conn: Any, channel: Any, queue: Any, *args: Any, **kwargs: Any
) -> Iterator[Any]:
    """Receive the bodies of replies.

    Arguments:
        conn: the connection.
        channel: one of its channels.
        queue: the :class:`~kombu.Queue` they come to; when it has received any, the channel's
            ``after_reply_message_received`` is called with its name.
        **kwargs: as of :func:`itermessages`; ``no_ack`` (default true): replies need no
            acknowledgement, otherwise each is acknowledged.
    """
    no_ack = kwargs.setdefault("no_ack", True)
    received = False
    try:
        for body, message in itermessages(conn, channel, queue, *args, **kwargs):
            if not no_ack:
                message.ack()
            received = True
            yield body
    finally:
        if received:
            channel.after_reply_message_received(queue.name)
