"""Exchange tables as files, shared with every process, 5.7 among them.

``<exchange>.exchange`` holds a JSON list of ``[routing_key, pattern, queue]``, newest first.
The exchange's type, which 5.7 keeps nowhere, stands in ``.kombu/types/<exchange>``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, Any

from amqp.exceptions import ChannelError

from kombu.log import get_logger
from kombu.transport.filesystem.control import Control
from kombu.transport.filesystem.errors import mapped
from kombu.transport.filesystem.locks import LOCK_EX, LOCK_SH, lock, unlock
from kombu.transport.filesystem.queues import Queues
from kombu.transport.virtual.store import TopologyStore
from kombu.utils.json import dumps, loads

logger = get_logger(__name__)

Row = tuple[str, str, str]

#: Characters of an exchange's name, so that with its ending it can be a file's.
_LONGEST = 240
_NAME = re.compile(r"[A-Za-z0-9._-]*", re.ASCII)
_DEVICES = re.compile(r"(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])")


@lru_cache(maxsize=1024)
def check_exchange(exchange: str) -> None:
    """Raise unless an exchange's table can be a file on every system.

    Raises:
        ChannelError: naming the exchange.
    """
    if (
        _NAME.fullmatch(exchange) is None
        or (exchange and not exchange.strip("."))
        or _DEVICES.fullmatch(exchange.split(".")[0])
    ):
        raise ChannelError(
            f"exchange name {exchange!r} can't be a file name: letters, digits, '.', '_' and '-' "
            "only, not only dots, and no name of a Windows device"
        )


def _overwrite(file: IO[bytes], data: bytes) -> None:
    """Write in place, as 5.7 does, which locks the very file it writes.

    Room is made first, by spaces that readers of JSON skip: neither a full disk nor the end of
    the process leaves less than there was.
    """
    size = file.seek(0, os.SEEK_END)
    try:
        _write(file, b" " * (len(data) - size))
    except OSError:
        file.truncate(size)
        raise
    file.seek(0)
    _write(file, data.ljust(size))
    file.truncate(len(data))


def _write(file: IO[bytes], data: bytes) -> None:
    while data:
        data = data[file.write(data) :]


class FilesystemTopology(TopologyStore):
    """Bindings, exchange types and queue arguments in the control folder.

    Arguments:
        control: the folder.
        queues: its queue declarations.
    """

    def __init__(self, control: Control, queues: Queues) -> None:
        self._control = control
        self._queues = queues
        self._read: dict[str, tuple[tuple[int, int], list[Row]]] = {}

    def _table(self, exchange: str) -> str:
        check_exchange(exchange)
        if len(exchange) > _LONGEST:
            raise ChannelError(
                f"exchange name {exchange[:20]!r}... has {len(exchange)} characters: nothing can "
                f"be bound to names of more than {_LONGEST} here"
            )
        return os.path.join(self._control.path, f"{exchange}.exchange")

    def _type(self, exchange: str) -> str:
        check_exchange(exchange)
        return os.path.join(self._control.types, f"{exchange}.type")

    # ---- bindings

    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        row = (routing_key, pattern, queue)

        def add(rows: list[Row]) -> list[Row] | None:
            return None if row in rows else [row, *rows]

        with mapped(f"bind queue {queue!r} to exchange {exchange!r}"):
            self._control.prepare()
            self._change(exchange, add)

    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        row = (routing_key, pattern, queue)

        def remove(rows: list[Row]) -> list[Row] | None:
            return [each for each in rows if each != row] if row in rows else None

        with mapped(f"unbind queue {queue!r} from exchange {exchange!r}"):
            if os.path.exists(self._table(exchange)):
                self._change(exchange, remove)

    def forget_queue(self, queue: str) -> None:
        """Forget all bindings of a queue."""
        with mapped(f"unbind queue {queue!r}"):
            for file in os.listdir(self._control.path):
                exchange, dot, ending = file.rpartition(".")
                if dot and ending == "exchange":
                    for routing_key, pattern, bound in self.bindings(exchange):
                        if bound == queue:
                            self.unbind(exchange, routing_key, pattern, queue)

    def _change(self, exchange: str, change: Callable[[list[Row]], list[Row] | None]) -> None:
        """Read, change and write a table, while nobody else does."""
        with self._locked(self._table(exchange), "r+b", LOCK_EX, os.O_CREAT) as file:
            rows = change(self._parse(file.read(), exchange))
            if rows is not None:
                _overwrite(file, dumps(rows).encode())

    @staticmethod
    @contextmanager
    def _locked(path: str, mode: str, flags: int, opening: int = 0) -> Iterator[IO[bytes]]:
        def opener(path: str, usual: int) -> int:
            return os.open(path, usual | opening, 0o666)

        with open(path, mode, buffering=0, opener=opener) as file:
            lock(file, flags)
            try:
                yield file
            finally:
                unlock(file)

    def bindings(self, exchange: str) -> Sequence[Row]:
        path = self._table(exchange)
        with mapped(f"read the bindings of exchange {exchange!r}"):
            try:
                status = os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                return []
            stamp = (status.st_mtime_ns, status.st_size)
            known = self._read.get(exchange)
            if known is not None and known[0] == stamp:
                return known[1]
            try:
                with self._locked(path, "rb", LOCK_SH) as file:
                    rows = self._parse(file.read(), exchange)
            except FileNotFoundError:
                return []
            self._read[exchange] = (stamp, rows)
            return rows

    @staticmethod
    def _parse(data: bytes, exchange: str) -> list[Row]:
        if not data.strip():
            return []
        try:
            rows = loads(data.decode())
            return [(str(key or ""), str(pattern or ""), str(q)) for key, pattern, q in rows]
        except (ValueError, TypeError) as exc:
            raise ChannelError(f"the table of exchange {exchange!r} can't be read: {exc}") from exc

    # ---- exchanges and queues

    def exchange_type(self, exchange: str) -> str | None:
        if len(exchange) > _LONGEST:
            return None
        with mapped(f"look up exchange {exchange!r}"):
            try:
                with open(self._type(exchange), encoding="utf-8") as file:
                    return file.read().strip() or None
            except (FileNotFoundError, NotADirectoryError):
                return None

    def declare_exchange(self, exchange: str, type: str) -> None:
        path = self._type(exchange)
        if len(exchange) > _LONGEST:
            return  # may be declared, as in 5.7, but not bound
        if self.exchange_type(exchange) == type:
            return
        with mapped(f"declare exchange {exchange!r}"):
            self._control.prepare()
            self._control.write(path, type)

    def delete_exchange(self, exchange: str) -> None:
        with mapped(f"delete exchange {exchange!r}"):
            if len(exchange) <= _LONGEST:
                self._control.remove(self._type(exchange))
                self._control.remove(self._table(exchange))
            self._read.pop(exchange, None)

    def queue_arguments(self, queue: str) -> Mapping[str, Any] | None:
        with mapped(f"look up queue {queue!r}"):
            return self._queues.arguments(queue)
