"""What the tests hold a broker with: connections that are closed in the end, and waiting."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any
from uuid import uuid4

from kombu import Connection, Consumer, Producer, Queue

#: Seconds within which what needs no waiting must have happened.
PROMPT = 5.0
#: Seconds of silence after which nothing more is expected to come.
QUIET = 0.3


class Broker:
    """One broker as a test uses it.

    Arguments:
        url: of the broker.
        options: transport options of every connection.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self.url = url
        self.options = dict(options or {})
        self._connections: list[Any] = []
        self._queues: set[str] = set()

    def connection(self, url: str = "", **more: Any) -> Any:
        """A new connection, closed when the test ends; ``more``: transport options."""
        connection = Connection(url or self.url, transport_options={**self.options, **more})
        self._connections.append(connection)
        with suppress(AttributeError):
            # Else the published package looks once a second.
            connection.transport.polling_interval = 0.01
        return connection

    def name(self, hint: str = "q") -> str:
        """A name that nobody has used."""
        name = f"fault-{hint}-{uuid4().hex[:10]}"
        self._queues.add(name)
        return name

    def queue(self, channel: Any, *bodies: Any, **options: Any) -> str:
        """Declare a new queue, unbound, with these messages in it; returns its name."""
        name = self.name()
        channel.queue_declare(name, durable=True, auto_delete=False, **options)
        self.put(channel, name, *bodies)
        return name

    def put(self, channel: Any, queue: str, *bodies: Any, **options: Any) -> None:
        """Publish to one queue."""
        producer = Producer(channel)
        for body in bodies:
            producer.publish(body, exchange="", routing_key=queue, **options)

    def __enter__(self) -> Broker:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for connection in self._connections:
            with suppress(Exception):
                connection.release()


def consume(channel: Any, queue: str, **options: Any) -> tuple[Any, list[Any]]:
    """Start a consumer; returns it and the list that its messages go to."""
    got: list[Any] = []
    consumer = Consumer(
        channel, [Queue(queue)], on_message=got.append, auto_declare=False, **options
    )
    consumer.consume()
    return consumer, got


def drain(client: Any, until: Callable[[], Any] | None = None, limit: float = PROMPT) -> None:
    """Drain events until the condition holds; without one until nothing comes any more."""
    end = time.monotonic() + (limit if until else QUIET)
    while not (until and until()) and time.monotonic() < end:
        with suppress(TimeoutError):
            client.drain_events(timeout=0.05)


def take(channel: Any, queue: str, count: int, limit: float = PROMPT) -> list[Any]:
    """Up to ``count`` messages of a queue, by get, waiting for them; unacknowledged."""
    end = time.monotonic() + limit
    messages: list[Any] = []
    while len(messages) < count and time.monotonic() < end:
        message = Queue(queue)(channel).get()
        if message is not None:
            messages.append(message)
        else:
            time.sleep(0.01)
    return messages


def payloads(messages: list[Any]) -> list[Any]:
    """What is in them."""
    return [message.payload for message in messages]


def _hold(url: str, options: dict[str, Any], name: str) -> None:
    client = Connection(url, transport_options=options)
    _, got = consume(client.channel(), name)
    drain(client, lambda: got, limit=20)
    os.kill(os.getpid(), signal.SIGKILL)


def die_holding(broker: Broker, queue: str) -> None:
    """Let another process take a message of a queue, and kill it while it holds that."""
    process = multiprocessing.get_context("spawn").Process(
        target=_hold, args=(broker.url, broker.options, queue)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
