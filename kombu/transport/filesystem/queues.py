"""Queue declarations, one small file each, beside the exchange tables of 5.7."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

from kombu.log import get_logger
from kombu.transport.filesystem.control import Control
from kombu.transport.virtual.policy import QueuePolicy
from kombu.transport.virtual.store import QueueSpec
from kombu.utils.json import dumps, loads

logger = get_logger(__name__)


@lru_cache(maxsize=1024)
def _file_of(queue: str) -> str:
    return quote(queue, safe="@ ") + ".json"


class Queues:
    """Declared queues of a control folder: ``.kombu/queues/<name>.json``.

    Arguments:
        control: the control folder.
    """

    def __init__(self, control: Control) -> None:
        self._control = control
        self._read: dict[str, tuple[int, Mapping[str, Any] | None, QueuePolicy | None]] = {}

    def _path(self, queue: str) -> str:
        return os.path.join(self._control.queues, _file_of(queue))

    def declare(self, queue: QueueSpec, owner: str | None = None) -> None:
        """Note a queue that is not there yet.

        Arguments:
            owner: whose it is, if it is exclusive.
        """
        path = self._path(queue.name)
        if os.path.exists(path):
            return
        self._control.prepare()
        record: dict[str, Any] = {
            "durable": queue.durable,
            "exclusive": queue.exclusive,
            "auto_delete": queue.auto_delete,
            "arguments": dict(queue.arguments),
        }
        if owner is not None:
            record["owner"] = owner
        self._control.write(path, dumps(record))

    def delete(self, queue: str) -> None:
        """Forget a queue."""
        self._read.pop(queue, None)
        self._control.remove(self._path(queue))

    def names(self) -> list[str]:
        """All that are declared."""
        try:
            files = os.listdir(self._control.queues)
        except FileNotFoundError:
            return []
        return [unquote(file[: -len(".json")]) for file in files if file.endswith(".json")]

    def exists(self, queue: str) -> bool:
        """Whether it is declared."""
        return os.path.exists(self._path(queue))

    def owner(self, queue: str) -> str | None:
        """Whose an exclusive queue is; ``None`` for all others."""
        try:
            with open(self._path(queue), encoding="utf-8") as file:
                owner = loads(file.read()).get("owner")
        except (FileNotFoundError, ValueError, AttributeError):
            return None
        return owner if isinstance(owner, str) else None

    def arguments(self, queue: str) -> Mapping[str, Any] | None:
        """The arguments it was declared with; ``None`` when it is not declared."""
        return self._look(queue)[0]

    def policy(self, queue: str) -> QueuePolicy | None:
        """What these arguments demand."""
        return self._look(queue)[1]

    def _look(self, queue: str) -> tuple[Mapping[str, Any] | None, QueuePolicy | None]:
        path = self._path(queue)
        try:
            stamp = os.stat(path).st_mtime_ns
        except FileNotFoundError:
            self._read.pop(queue, None)
            return None, None
        known = self._read.get(queue)
        if known is None or known[0] != stamp:
            known = self._read[queue] = (stamp, *self._load(path))
        return known[1:]

    @staticmethod
    def _load(path: str) -> tuple[Mapping[str, Any] | None, QueuePolicy | None]:
        try:
            with open(path, encoding="utf-8") as file:
                arguments = loads(file.read())["arguments"]
            return arguments, QueuePolicy.of(arguments)
        except FileNotFoundError:
            return None, None
        except (ValueError, KeyError, TypeError) as exc:
            logger.error("queue declaration %r can't be used (%s): ignored", path, exc)
            return {}, None
