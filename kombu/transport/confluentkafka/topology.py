"""Exchanges and bindings for all clients of a cluster: a compacted topic, one record each.

Keys are JSON lists: ``["exchange", name]`` -> its type, ``["binding", exchange, routing key,
pattern, queue]`` -> ``1``, ``["queue", name]`` -> its arguments; an empty value takes it back.
Published peers know nothing of it and keep bindings to themselves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from kombu.transport.confluentkafka.clients import INSPECTOR, Clients
from kombu.transport.confluentkafka.errors import ERRORS
from kombu.transport.confluentkafka.sending import Outgoing, Sender
from kombu.transport.virtual.store import TopologyStore
from kombu.utils.json import dumps, loads
from kombu.utils.loggers import get_logger

logger = get_logger(__name__)

#: Seconds after which a publisher asks for the topic's end again. What other processes write
#: mostly is here sooner, as the consumer goes on to fetch; what this one wrote, at once.
FRESH = 0.2

Row = tuple[str, str, str]


class _Writes:
    """When this process last wrote, by whichever connection: all of them then read anew."""

    def __init__(self) -> None:
        self.last = float("-inf")
        self._lock = threading.Lock()

    def note(self) -> None:
        with self._lock:  # never backwards
            self.last = time.monotonic()


_writes = _Writes()


class TopologyLog:
    """Reads and writes the topic; who changes it asks for its end first, and misses nothing.

    Arguments:
        topic: its name.
    """

    def __init__(self, clients: Clients, sender: Sender, topic: str) -> None:
        self.clients = clients
        self.sender = sender
        self.topic = topic
        self._lock = threading.Lock()
        self._consumer: Consumer | None = None
        self._position = 0
        self._read_at = float("-inf")
        self._types: dict[str, str] = {}
        self._arguments: dict[str, Mapping[str, Any]] = {}
        self._rows: dict[str, dict[Row, None]] = {}
        self._lists: dict[str, list[Row]] = {}

    # ---- reading

    def refresh(self, max_age: float = 0.0) -> None:
        """Read to the end; if that was done in the last ``max_age`` seconds, what has come."""
        with self._lock:
            begun = time.monotonic()
            known = self._consumer is not None and self._read_at > _writes.last
            if known and begun - self._read_at < max_age:
                while self._take(0):
                    pass
            else:
                self._read()
                self._read_at = begun

    def expire(self) -> None:
        """Read to the end the next time."""
        with self._lock:
            self._read_at = float("-inf")

    def _read(self) -> None:
        if self._consumer is None:
            self.clients.make(self.topic, **{"cleanup.policy": "compact"})
            self._consumer = self.clients.consumer(INSPECTOR)
            self._consumer.assign([TopicPartition(self.topic, 0, OFFSET_BEGINNING)])
        end = self.clients.end(self.topic, 0)[1]
        deadline = time.monotonic() + self.clients.timeout
        while self._position < end:
            if not self._take(0.1) and time.monotonic() > deadline:
                late = KafkaException(KafkaError(KafkaError._TIMED_OUT))
                raise ERRORS.translate(late, f"read topic {self.topic!r}")

    def _take(self, timeout: float) -> bool:
        """One record; whether there was something."""
        assert self._consumer is not None
        message = self._consumer.poll(timeout)
        if message is None:
            return False
        error, offset = message.error(), message.offset() or 0
        if error is None:
            self._position = offset + 1
            self._apply(message.key(), message.value())
        elif error.code() == KafkaError._PARTITION_EOF:
            self._position = max(self._position, offset)
        return True

    def _apply(self, key: bytes | None, value: bytes | None) -> None:
        try:
            kind, *names = loads((key or b"").decode())
            given = loads(value.decode()) if value else None
        except ValueError:
            logger.warning("topic %r holds what is no record of ours: %r", self.topic, key)
            return
        if kind == "exchange":
            _put(self._types, names[0], given)
        elif kind == "queue":
            _put(self._arguments, names[0], given)
        elif kind == "binding":
            exchange, row = names[0], (names[1], names[2], names[3])
            rows = self._rows.setdefault(exchange, {})
            if given:
                rows[row] = None
            else:
                rows.pop(row, None)
            self._lists.pop(exchange, None)

    def rows(self, exchange: str, max_age: float = 0.0) -> list[Row]:
        """Bindings of an exchange, the same list as long as they are the same."""
        self.refresh(max_age)
        with self._lock:
            if exchange not in self._lists:
                self._lists[exchange] = list(self._rows.get(exchange, ()))
            return self._lists[exchange]

    def type_of(self, exchange: str) -> str | None:
        self.refresh(FRESH)
        return self._types.get(exchange)

    def arguments_of(self, queue: str) -> Mapping[str, Any] | None:
        self.refresh(FRESH)
        return self._arguments.get(queue)

    def rows_of(self, queue: str) -> list[tuple[str, Row]]:
        """Bindings of a queue, with their exchanges."""
        self.refresh()
        with self._lock:
            return [
                (exchange, row)
                for exchange, rows in self._rows.items()
                for row in rows
                if row[2] == queue
            ]

    # ---- writing

    def write(self, value: Any, *keys: Sequence[str]) -> None:
        """Set, or with ``None`` take back; returns once it is stored."""
        stored = None if value is None else dumps(value).encode()
        # A broker that made the topic by itself may have given it more partitions.
        records = [Outgoing(self.topic, stored, dumps(list(key)).encode(), 0) for key in keys]
        failed = self.sender.send(records)
        _writes.note()
        if failed:
            raise next(iter(failed.values()))

    def close(self) -> None:
        with self._lock:
            consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()


def _put(table: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        table.pop(name, None)
    else:
        table[name] = value


class KafkaTopology(TopologyStore):
    """The shared bindings.

    Arguments:
        connect: gives the log of the connection as it is now.
    """

    def __init__(self, connect: Callable[[], TopologyLog]) -> None:
        self._connect = connect

    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        log = self._connect()
        if (routing_key, pattern, queue) not in log.rows(exchange):
            log.write(1, ("binding", exchange, routing_key, pattern, queue))

    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        log = self._connect()
        if (routing_key, pattern, queue) in log.rows(exchange):
            log.write(None, ("binding", exchange, routing_key, pattern, queue))

    def bindings(self, exchange: str) -> Sequence[tuple[str, str, str]]:
        return self._connect().rows(exchange, FRESH)

    def refresh(self) -> bool:
        self._connect().expire()
        return True

    def exchange_type(self, exchange: str) -> str | None:
        return self._connect().type_of(exchange)

    def declare_exchange(self, exchange: str, type: str) -> None:
        log = self._connect()
        if log.type_of(exchange) != type:
            log.write(type, ("exchange", exchange))

    def delete_exchange(self, exchange: str) -> None:
        log = self._connect()
        rows = [("binding", exchange, *row) for row in log.rows(exchange)]
        log.write(None, ("exchange", exchange), *rows)

    def queue_arguments(self, queue: str) -> Mapping[str, Any] | None:
        return self._connect().arguments_of(queue)
