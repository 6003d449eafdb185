"""What AMQP 1.0 can't ask of RabbitMQ: queues declared, counted, purged and deleted.

Its plugin declares a queue by the address of a link, without arguments, and nothing else; so
this goes by AMQP 0-9-1 over a second connection to the same port.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import amqp
from amqp.exceptions import AMQPError, NotFound

from kombu.transport.qpid.errors import ERRORS, lost
from kombu.transport.qpid.wire import Address
from kombu.transport.virtual.store import QueueSpec

#: Queue arguments that RabbitMQ itself acts on; the virtual layer acts on the others.
NATIVE = ("x-max-priority", "x-queue-type", "x-queue-mode")

_Result = TypeVar("_Result")


def broker_name(queue: str) -> str:
    """The queue in RabbitMQ, which keeps ``amq.`` for names that it makes up itself."""
    return f"kombu.{queue}" if queue.startswith("amq.") else queue


class Control:
    """Queues and exchanges of a RabbitMQ.

    Arguments:
        timeout: seconds for one operation.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self.address = address
        self.timeout = timeout
        self._lock = threading.Lock()
        self._connection: Any = None
        self._channel: Any = None

    def _open(self) -> Any:
        if self._connection is None or not self._connection.connected:
            address = self.address
            tls: Any = {"ca_certs": address.ca_certs} if address.ca_certs else address.tls
            self._connection = amqp.Connection(
                f"{address.host}:{address.port}",
                userid=address.user or "guest",
                password=address.password or "guest",
                virtual_host=address.virtual_host or "/",
                ssl=tls if address.tls else False,
                connect_timeout=address.timeout,
                read_timeout=self.timeout,
                write_timeout=self.timeout,
            )
            self._connection.connect()
            self._channel = None
        if self._channel is None or not self._channel.is_open:
            self._channel = self._connection.channel()
        return self._channel

    def _ask(self, doing: str, use: Callable[[Any], _Result]) -> _Result:
        with self._lock, ERRORS.mapped(doing):
            try:
                return use(self._open())
            except (AMQPError, OSError) as exc:
                if not isinstance(exc, amqp.ChannelError):
                    self._connection = None
                    if not isinstance(exc, amqp.ConnectionError):
                        raise lost(exc) from exc
                self._channel = None
                raise

    def declare(self, queue: QueueSpec) -> None:
        arguments = {key: queue.arguments[key] for key in NATIVE if key in queue.arguments}

        def declare(channel: Any) -> Any:
            return channel.queue_declare(
                broker_name(queue.name),
                durable=queue.durable,
                auto_delete=False,
                arguments=arguments,
            )

        self._ask(f"declare queue {queue.name!r}", declare)

    def count(self, queue: str) -> int | None:
        """Messages that are ready; ``None`` where there is no such queue."""
        try:
            found = self._ask(
                f"look up queue {queue!r}",
                lambda channel: channel.queue_declare(broker_name(queue), passive=True),
            )
        except NotFound:
            return None
        return int(found.message_count)

    def purge(self, queue: str) -> int:
        name = broker_name(queue)
        try:
            gone = self._ask(f"purge queue {queue!r}", lambda channel: channel.queue_purge(name))
        except NotFound:
            return 0
        return int(gone or 0)

    def delete(self, queue: str) -> int:
        name = broker_name(queue)
        gone = self._ask(f"delete queue {queue!r}", lambda channel: channel.queue_delete(name))
        return int(gone or 0)

    def fanout(self, exchange: str) -> None:
        """Make a fanout exchange."""
        self._ask(
            f"declare exchange {exchange!r}",
            lambda channel: channel.exchange_declare(
                exchange, "fanout", durable=True, auto_delete=False
            ),
        )

    def bind(self, queue: str, exchange: str) -> None:
        self._ask(
            f"bind queue {queue!r} to exchange {exchange!r}",
            lambda channel: channel.queue_bind(broker_name(queue), exchange, ""),
        )

    def unbind(self, queue: str, exchange: str) -> None:
        self._ask(
            f"unbind queue {queue!r} from exchange {exchange!r}",
            lambda channel: channel.queue_unbind(broker_name(queue), exchange, ""),
        )

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
