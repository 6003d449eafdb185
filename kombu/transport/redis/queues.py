"""Declaring, looking up, emptying and deleting queues on Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kombu.transport.redis.errors import mapped, refined
from kombu.transport.redis.holder import REMEMBERED, StoreBase
from kombu.transport.redis.link import Command
from kombu.transport.virtual.policy import QueuePolicy
from kombu.transport.virtual.store import QueueSpec
from kombu.utils.json import dumps, loads

#: Seconds during which a deleted queue takes no late returns.
_DELETED_FOR = 86400

#: Records an expiring queue, for no shorter than a consumer of it has asked for.
_RECORD = """
local most = math.max(tonumber(ARGV[2]), redis.call('PTTL', KEYS[1]))
return redis.call('SET', KEYS[1], ARGV[1], 'PX', most)
"""


class QueueVerbs(StoreBase):
    """What a store does with whole queues."""

    def declare(self, queue: QueueSpec) -> None:
        """Record the queue; its lists appear with their first messages."""
        self._check_open()
        name = queue.name
        expires = queue.arguments.get("x-expires")
        spec = dumps(
            {
                "durable": queue.durable,
                "exclusive": queue.exclusive,
                "auto_delete": queue.auto_delete,
                "arguments": dict(queue.arguments),
            }
        )
        record = self._keys.of_queue("queue", name)
        command: Command = ("SET", record, spec)
        if expires:
            self._expiry[name] = int(expires)
            command = ("EVAL", _RECORD, 1, record, spec, int(expires))
        else:
            self._expiry.pop(name, None)
        self._policies[name] = QueuePolicy.of(queue.arguments)
        base = self._keys.base(name)
        commands: list[tuple[str, Command]] = [(base, command)]
        # Outlives the record: what others put after the queue's end must end, too.
        ended = self._keys.of_queue("expiring", name)
        if expires:
            commands.append((base, ("SET", ended, int(expires), "PX", int(expires) + REMEMBERED)))
        else:
            commands.append((base, ("DEL", ended)))
        with mapped(f"declare queue {name!r}"):
            *_, expired = self._strict(self._server.pipeline(commands))
            if not expires and expired:
                # It was a queue that expires, which is no reason to lose what is in it now.
                lists = self._keys.lists(name)
                self._strict(self._server.pipeline([(base, ("PERSIST", each)) for each in lists]))

    def arguments(self, queue: str) -> dict[str, Any] | None:
        """The arguments a queue was declared with by a client of this version, else ``None``."""
        self._check_open()
        with mapped(f"look up queue {queue!r}"):
            text = self._server.call(
                self._keys.base(queue), "GET", self._keys.of_queue("queue", queue)
            )
        if text is None:
            return None
        found = loads(text.decode()).get("arguments")
        return dict(found) if isinstance(found, dict) else {}

    def exists(self, queue: str) -> bool:
        self._check_open()
        names = [self._keys.of_queue("queue", queue), *self._keys.lists(queue)]
        names.append(self._keys.of_queue("delayed", queue))
        with mapped(f"look up queue {queue!r}"):
            return bool(self._server.call(self._keys.base(queue), "EXISTS", *names))

    def _lengths(self, queue: str) -> list[tuple[str, Command]]:
        base = self._keys.base(queue)
        return [(base, ("LLEN", name)) for name in self._keys.lists(queue)]

    def size(self, queue: str) -> int:
        self._check_open()
        with mapped(f"size of queue {queue!r}"):
            return sum(self._strict(self._server.pipeline(self._lengths(queue))))

    def purge(self, queue: str) -> int:
        self._check_open()
        return self._drop(queue, f"purge queue {queue!r}", [])

    def delete(self, queue: str) -> int:
        self._check_open()
        base = self._keys.base(queue)
        self._expiry.pop(queue, None)
        self._policies.pop(queue, None)
        self.restorer.queues.discard(queue)
        with mapped(f"delete queue {queue!r}"):
            seconds, micros = self._server.call(base, "TIME")
        stamp = f"{int(seconds)}{int(micros):06d}"
        also: list[Command] = [
            ("DEL", self._keys.of_queue("delayed", queue), self._keys.of_queue("queue", queue)),
            ("SET", self._keys.of_queue("deleted", queue), stamp, "EX", _DELETED_FOR),
        ]
        return self._drop(queue, f"delete queue {queue!r}", also)

    def _drop(self, queue: str, doing: str, also: Sequence[Command]) -> int:
        base = self._keys.base(queue)
        lengths = self._lengths(queue)
        commands: list[tuple[str, Command]] = [
            (base, ("MULTI",)),
            *lengths,
            (base, ("DEL", *self._keys.lists(queue))),
            *((base, command) for command in also),
            (base, ("EXEC",)),
        ]
        with mapped(doing):
            replies = self._strict(self._server.pipeline(commands))
            counts = replies[-1][: len(lengths)]
            for count in counts:
                if isinstance(count, Exception):
                    raise refined(count)
        return sum(counts)
