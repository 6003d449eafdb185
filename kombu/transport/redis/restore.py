"""Putting back the messages of owners that gave no sign of life.

Bounded work per sweep, and one sweep per lease while nothing is held: the server says when
the next lease ends.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from kombu.transport.redis.claims import returned
from kombu.transport.redis.keys import Bookkeeping, Keyspace
from kombu.transport.redis.link import Script
from kombu.transport.redis.options import RedisOptions
from kombu.transport.redis.server import Server
from kombu.transport.virtual.envelope import clamp_priority, parse
from kombu.utils.json import dumps, loads

logger = logging.getLogger("kombu.transport.redis")

#: Exchange, routing key and headers of a message -> the queues it belongs in.
Router = Callable[[str, str, Any], Sequence[str]]

_MOST = 5000
_CHUNK = 200
_SHORTEST_PAUSE = 0.02


class Restorer:
    """Sweeps the bookkeeping of one server for leases that ran out.

    Arguments:
        server: where the keys are.
        keys: their names.
        options: ``visibility_timeout``, ``unacked_restore_limit`` and the lease.
    """

    def __init__(self, server: Server, keys: Keyspace, options: RedisOptions) -> None:
        self._server, self._keys, self._options = server, keys, options
        self._script = Script("restore")
        self._next = time.monotonic()
        #: Queues to look after where each has bookkeeping of its own.
        self.queues: set[str] = set()
        #: Finds the queues of what a published peer left behind; by default the routing key's.
        self.router: Router = lambda exchange, routing_key, headers: (routing_key,)

    @property
    def due_in(self) -> float:
        """Seconds until the next sweep."""
        return max(0.0, self._next - time.monotonic())

    @property
    def is_due(self) -> bool:
        """Whether it is time for a sweep."""
        return time.monotonic() >= self._next

    def sweep(self) -> int:
        """Put back what is overdue; how many messages. Raises redis-py's exceptions."""
        longest = self._options.lease_seconds
        # A failing sweep must not be tried again at once.
        self._next = time.monotonic() + min(1.0, longest)
        restored, pause = 0, longest
        for books, tag in self._all_books():
            count, soon = self._sweep(books, tag)
            restored += count
            if soon is not None:
                pause = min(pause, max(soon + _SHORTEST_PAUSE, _SHORTEST_PAUSE))
        self._next = time.monotonic() + pause
        return restored

    def _all_books(self) -> list[tuple[Bookkeeping, str]]:
        if not self._keys.tagged:
            return [(self._keys.bookkeeping(""), "")]
        return [(self._keys.bookkeeping(queue), queue) for queue in sorted(self.queues)]

    def _sweep(self, books: Bookkeeping, tag: str) -> tuple[int, float | None]:
        most = self._options.unacked_restore_limit or _MOST
        patience = repr(self._options.peer_patience)
        ours, peers, soon = self._server.script(self._script, list(books), ["find", most, patience])
        entries = [
            (field, *_record(text)) for field, text in zip(ours[::2], ours[1::2], strict=True)
        ]
        # The youngest claim goes back first, so that the oldest ends up at the head.
        entries.sort(key=lambda entry: entry[1], reverse=True)
        entries += [(field, "", "", "") for field in peers]
        restored = 0
        for first in range(0, len(entries), _CHUNK):
            restored += self._restore(books, tag, entries[first : first + _CHUNK], patience)
        if restored:
            logger.info("restored %d message(s) of owners that are gone", restored)
        return restored, float(soon) if soon else None

    def _restore(
        self,
        books: Bookkeeping,
        tag: str,
        entries: list[tuple[bytes, str, str, str]],
        patience: str,
    ) -> int:
        values = self._server.call(
            books.unacked, "HMGET", books.unacked, *(field for field, *_ in entries)
        )
        around = (*self._keys.around("deleted"), *self._keys.around("expiring"))
        arguments: list[Any] = ["restore", 0, patience, *around]
        held: dict[bytes, tuple[bytes, str]] = {}
        for (field, receipt, queue, source), value in zip(entries, values, strict=True):
            if value is None:
                continue
            envelope, exchange, routing_key = _stored(value)
            if envelope is None:
                self._set_aside(books, field, value, tag or routing_key)
                continue
            if receipt:
                held[field] = (value, queue)
                arguments += (field, receipt, returned(envelope, receipt), 1, source)
                continue
            queues = self._route(exchange, routing_key, envelope) if not tag else (tag,)
            if not queues:
                logger.error(
                    "a message that a peer left behind (exchange %r, routing key %r) has no "
                    "queue any more; set aside",
                    exchange,
                    routing_key,
                )
                self._set_aside(books, field, value, routing_key)
                continue
            priority = clamp_priority(envelope["properties"].get("priority"))
            held[field] = (value, queues[0])
            lists = [self._keys.list_for(queue, priority) for queue in queues]
            arguments += (field, receipt, returned(envelope), len(lists), *lists)
        if not held:
            return 0
        back, wrong = self._server.script(self._script, list(books), arguments)
        for field in wrong:
            # The key of its queue is something else now: that is not to stop all others.
            self._set_aside(books, field, *held[field])
        return int(back)

    def _route(self, exchange: str, routing_key: str, envelope: dict[str, Any]) -> Sequence[str]:
        if not exchange:
            return (routing_key,)
        return self.router(exchange, routing_key, envelope.get("headers"))

    def _set_aside(self, books: Bookkeeping, field: bytes, value: bytes, queue: str) -> None:
        target = self._keys.of_queue("quarantine", queue)
        self._server.pipeline(
            [
                (books.unacked, ("MULTI",)),
                (books.unacked, ("LPUSH", target, value)),
                (books.unacked, ("HDEL", books.unacked, field)),
                (books.unacked, ("ZREM", books.signs, field)),
                (books.unacked, ("HDEL", books.holdings, field)),
                (books.unacked, ("ZREM", books.leases, field)),
                (books.unacked, ("EXEC",)),
            ]
        )
        logger.error("set a held value aside in %r", target)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")


def _record(text: bytes) -> tuple[str, str, str]:
    """Receipt, queue and list of a holding."""
    receipt, _, size, place = text.split(b"\n", 3)
    queue, source = place[: int(size)], place[int(size) :]
    return receipt.decode(), _text(queue), _text(source)


def _stored(value: bytes) -> tuple[dict[str, Any] | None, str, str]:
    """Envelope, exchange and routing key of a held message; no envelope when it is none."""
    try:
        envelope, exchange, routing_key = loads(value.decode("utf-8", "surrogatepass"))
    except (ValueError, TypeError, KeyError):
        return None, "", ""
    return parse(dumps(envelope).encode()), str(exchange or ""), str(routing_key or "")
