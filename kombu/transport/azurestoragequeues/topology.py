"""Bindings, shared between all clients of an account: each queue's metadata holds its own."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from amqp.exceptions import RecoverableChannelError
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from kombu.transport.azure import error_code
from kombu.transport.azurestoragequeues.errors import ERRORS
from kombu.transport.azurestoragequeues.names import plain
from kombu.transport.azurestoragequeues.queues import Queues
from kombu.transport.virtual.store import TopologyStore

logger = logging.getLogger(__name__)

#: Name of the metadata item.
ITEM = "kombu"
#: Seconds for which a listing of all queues is good; what finds no queue asks anew at once.
FRESH = 1.0
#: Times a queue's metadata are written again because another client wrote them meanwhile.
ATTEMPTS = 5
#: The service's words for metadata that it does not take; HTTP's is 431.
TOO_LARGE = ("MetadataTooLarge", "RequestHeaderTooLarge")


class Row(NamedTuple):
    """One binding, as it is written."""

    exchange: str
    type: str
    routing_key: str
    pattern: str


class QueueMetadataTopology(TopologyStore):
    """Bindings in the metadata of queues, read by listing all queues of the prefix.

    Arguments:
        connect: gives the queues of the connection as it is now.
    """

    def __init__(self, connect: Callable[[], Queues]) -> None:
        self._connect = connect
        self._types: dict[str, str] = {}
        self._lock = threading.Lock()
        self._read_at = -FRESH
        self._rows: dict[str, list[Row]] = {}
        #: What did not fit into a queue's metadata: this client alone knows it.
        self._unwritten: dict[str, set[Row]] = {}

    # ---- one queue's metadata

    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        row = Row(exchange, self._types.get(exchange, "direct"), routing_key, pattern)
        self._change(queue, lambda rows: rows | {row})

    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        key = (exchange, routing_key, pattern)
        self._change(queue, lambda rows: {r for r in rows if (r[0], r[2], r[3]) != key})

    def _change(self, queue: str, change: Callable[[set[Row]], set[Row]]) -> None:
        self.refresh()
        client = self._connect().client(queue)
        with ERRORS.mapped(f"write the bindings of queue {queue!r}"):
            for _ in range(ATTEMPTS):
                try:
                    metadata = dict(client.get_queue_properties().metadata or {})
                except ResourceNotFoundError:  # deleted, and its bindings with it
                    self._unwritten.pop(queue, None)
                    return
                rows = set(rows_in(metadata.get(ITEM)))
                wanted = change(rows | self._unwritten.get(queue, set()))
                if wanted == rows:  # as it is, or as we have just written it
                    self._unwritten.pop(queue, None)
                    return
                try:
                    client.set_queue_metadata({**metadata, ITEM: self._text(queue, wanted)})
                except HttpResponseError as exc:
                    if exc.status_code != 431 and error_code(exc) not in TOO_LARGE:
                        raise
                    self._keep(queue, wanted - rows)
                    left = rows & wanted
                    if left != rows:
                        client.set_queue_metadata({**metadata, ITEM: self._text(queue, left)})
                    return
        raise RecoverableChannelError(
            f"write the bindings of queue {queue!r}: other clients go on to write them, too"
        )

    def _text(self, queue: str, rows: set[Row]) -> str:
        prefix = self._connect().options.queue_name_prefix
        fields = {"prefix": prefix, "queue": queue, "bindings": sorted(rows)}
        return json.dumps(fields, separators=(",", ":"))

    def _keep(self, queue: str, rows: set[Row]) -> None:
        logger.warning(
            "queue %r has more bindings than its metadata can hold: other clients won't know the "
            "last of them",
            queue,
        )
        self._unwritten[queue] = rows

    # ---- all queues'

    def bindings(self, exchange: str) -> Sequence[tuple[str, str, str]]:
        found = {
            (row.routing_key, row.pattern, queue)
            for queue, rows in self._all().items()
            for row in rows
            if row.exchange == exchange
        }
        return sorted(found)

    def refresh(self) -> bool:
        with self._lock:
            self._read_at = -FRESH
        return True

    def exchange_type(self, exchange: str) -> str | None:
        if exchange in self._types:
            return self._types[exchange]
        rows = (row for rows in self._all().values() for row in rows)
        return next((row.type for row in rows if row.exchange == exchange), None)

    def declare_exchange(self, exchange: str, type: str) -> None:
        self._types[exchange] = type

    def delete_exchange(self, exchange: str) -> None:
        self._types.pop(exchange, None)
        for queue, rows in list(self._all().items()):
            if any(row.exchange == exchange for row in rows):
                self._change(queue, lambda rows: {r for r in rows if r.exchange != exchange})

    def _all(self) -> dict[str, list[Row]]:
        with self._lock:
            if time.monotonic() - self._read_at >= FRESH:
                with ERRORS.mapped("list the queues and their bindings"):
                    self._rows = dict(self._list())
                self._read_at = time.monotonic()
            return self._rows

    def _list(self) -> Iterator[tuple[str, list[Row]]]:
        queues = self._connect()
        prefix = queues.options.queue_name_prefix
        listed: Any = queues.service.list_queues(
            name_starts_with=start_of(prefix) or None, include_metadata=True
        )
        for each in listed:
            text = (each.metadata or {}).get(ITEM)
            fields = read(text)
            if fields is not None and fields.get("prefix") == prefix:
                queue = str(fields["queue"])
                yield queue, [*rows_in(text), *self._unwritten.get(queue, ())]


def start_of(prefix: str) -> str:
    """What the names of all queues with a prefix have in common."""
    match = re.match(r"[a-z0-9]*", plain(prefix))
    return match[0] if match else ""


def read(text: str | None) -> dict[str, Any] | None:
    try:
        fields = json.loads(text or "")
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and "queue" in fields else None


def rows_in(text: str | None) -> list[Row]:
    """The bindings in a queue's metadata; what is none of ours is left out."""
    rows = (read(text) or {}).get("bindings", ())
    return [Row(*map(str, row)) for row in rows if isinstance(row, list) and len(row) == 4]
