"""Putting messages into queues on Redis, many in one round trip."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from kombu.transport.redis.errors import ERRORS as TABLE
from kombu.transport.redis.errors import NotEnoughReplicas, mapped
from kombu.transport.redis.holder import StoreBase, or_none
from kombu.transport.redis.link import Command, Script
from kombu.transport.virtual.policy import QueuePolicy
from kombu.transport.virtual.store import PartialPutError, Put, QueueFull
from kombu.utils.json import dumps

#: Most characters of messages in one command.
_COMMAND_SIZE = 100_000


class _Batch:
    """Commands, the key each is about, and the messages (by number) that depend on each."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, list[Any]]] = []
        self.origins: list[list[int]] = []
        self._open: dict[str, tuple[list[Any], list[int], list[int]]] = {}

    def add(self, base: str, command: Command, origins: list[int]) -> None:
        """One more command."""
        self.commands.append((base, list(command)))
        self.origins.append(origins)

    def append(
        self, base: str, command: tuple[str, ...], text: str, origin: int, most: int
    ) -> None:
        """Put a text at the end of ``command``, or of one like it that has room for more.

        Arguments:
            most: texts that such a command takes.
        """
        key = command[1]
        opened = self._open.get(key)
        if opened is None or len(opened[1]) >= most or opened[2][0] + len(text) > _COMMAND_SIZE:
            opened = ([*command], [], [0])
            self._open[key] = opened
            self.commands.append((base, opened[0]))
            self.origins.append(opened[1])
        opened[0].append(text)
        opened[1].append(origin)
        opened[2][0] += len(text)


class PutVerbs(StoreBase):
    """What a store does with new messages."""

    put_script = Script("put")

    #: Messages that one command takes into one list.
    together = 1000

    def put(self, puts: Sequence[Put]) -> None:
        self._check_open()
        batch = _Batch()
        failed: dict[int, BaseException] = {}
        policies: dict[str, QueuePolicy | None] = {}
        places: dict[tuple[str, int], tuple[str, tuple[str, ...]]] = {}
        members: dict[str, list[int]] = {}
        for index, item in enumerate(puts):
            queue = item.queue
            if queue not in policies:
                policies[queue] = self._policy(queue)
            policy = policies[queue]
            if policy is not None and policy.bounded:
                self._crowded.add(queue)
                if policy.overflow != "drop-head" and item.ready_at is None:
                    with mapped(f"put into queue {queue!r}"):
                        if not self._put_bounded(item, policy):
                            failed[index] = QueueFull(f"queue {queue!r} is full")
                    continue
            members.setdefault(queue, []).append(index)
            text = dumps(item.message)
            if item.ready_at is not None and item.ready_at > time.time():
                batch.add(self._keys.base(queue), self._delayed(item, text), [index])
                continue
            place = places.get((queue, item.priority))
            if place is None:
                place = self._keys.base(queue), self._append_to(queue, item.priority)
                places[queue, item.priority] = place
            batch.append(*place, text, index, self.together)
        for queue, indexes in members.items():
            for command in self._lifetime(queue):
                batch.add(self._keys.base(queue), command, indexes)
        self._send(puts, batch, failed)
        if failed:
            if len(failed) == len(puts) == 1:
                raise failed[0] from failed[0].__cause__
            raise PartialPutError(failed)

    def _send(self, puts: Sequence[Put], batch: _Batch, failed: dict[int, BaseException]) -> None:
        commands: list[tuple[str, Command]] = [*batch.commands]
        replicas = self._options.wait_replicas
        if replicas:
            timeout = int((self._options.wait_replicas_timeout or 0) * 1000)
            for base in dict.fromkeys(base for base, _ in batch.commands):
                commands.append((base, ("WAIT", replicas, timeout)))
        if not commands:
            return
        with mapped("publish"):
            replies = self._server.pipeline(commands)
            for reply in replies[len(batch.commands) :]:
                if isinstance(reply, Exception):
                    raise reply
                if int(reply) < replicas:
                    raise NotEnoughReplicas(
                        f"{int(reply)} of {replicas} replicas have the message in time"
                    )
        for indexes, reply in zip(batch.origins, replies, strict=False):
            if isinstance(reply, Exception):
                for index in indexes:
                    name = puts[index].queue
                    failed.setdefault(index, TABLE.translate(reply, f"put into queue {name!r}"))

    def _put_bounded(self, item: Put, policy: QueuePolicy) -> bool:
        lists = self._keys.lists(item.queue)
        number = lists.index(self._keys.list_for(item.queue, item.priority)) + 1
        stored = self._server.script(
            self.put_script,
            lists,
            [number, or_none(policy.max_length), or_none(policy.max_bytes), dumps(item.message)],
        )
        return bool(stored)

    def _append_to(self, queue: str, priority: int) -> tuple[str, ...]:
        """The beginning of the command that appends messages; its second word is the key."""
        return "LPUSH", self._keys.list_for(queue, priority)

    def _delayed(self, item: Put, text: str) -> Command:
        member = f"{self._keys.step_of(item.priority)}:{uuid.uuid4().hex[:12]}:{text}"
        return "ZADD", self._keys.of_queue("delayed", item.queue), item.ready_at or 0, member

    def _lifetime(self, queue: str) -> list[Command]:
        """Commands after which an expiring queue lives on for its time from now."""
        expires = self._expiry.get(queue)
        if expires is not None:
            return self._touch(queue, expires)
        if self.find_expiry is not None and (others := self.find_expiry(queue)):
            return [("PEXPIRE", key, others) for key in self._keys.lists(queue)]
        return []
