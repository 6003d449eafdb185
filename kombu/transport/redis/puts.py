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
from kombu.transport.redis.options import SOCKET_TIMEOUT
from kombu.transport.virtual.policy import QueuePolicy
from kombu.transport.virtual.store import Put, QueueFull, raise_failed
from kombu.utils.json import write

#: Most characters of messages in one command.
_COMMAND_SIZE = 100_000


class _Batch:
    """Commands, the key each is about, and the messages (by number) that depend on each."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, list[Any]]] = []
        self.origins: list[list[int]] = []
        #: Messages that a script has put already.
        self.done: list[int] = []

    def add(self, base: str, command: Command, origins: list[int]) -> None:
        """One more command."""
        self.commands.append((base, list(command)))
        self.origins.append(origins)


class _Appended:
    """The commands of a batch that append messages to one list.

    Arguments:
        command: the beginning of each.
    """

    __slots__ = ("_base", "_batch", "_beginning", "origins", "size", "words")

    def __init__(self, batch: _Batch, base: str, command: tuple[str, ...]) -> None:
        self._batch, self._base, self._beginning = batch, base, command
        self.begin()

    def begin(self) -> None:
        """Go on with another command."""
        self.words: list[Any] = [*self._beginning]
        self.origins: list[int] = []
        #: Characters of messages.
        self.size = 0
        self._batch.commands.append((self._base, self.words))
        self._batch.origins.append(self.origins)


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
        places: dict[tuple[str, int], _Appended] = {}
        lists: dict[str, _Appended] = {}
        together = self.together
        for index, item in enumerate(puts):
            queue, message, priority, ready_at, _ = item
            if queue not in policies:
                policies[queue] = self._policy(queue)
            policy = policies[queue]
            if policy is not None and policy.bounded:
                self._crowded.add(queue)
                if policy.overflow != "drop-head" and ready_at is None:
                    with mapped(f"put into queue {queue!r}"):
                        if self._put_bounded(item, policy):
                            batch.done.append(index)
                        else:
                            failed[index] = QueueFull(f"queue {queue!r} is full")
                    continue
            text = write(message)
            if ready_at is not None and ready_at > time.time():
                batch.add(self._keys.base(queue), self._delayed(item, text), [index])
                continue
            place = places.get((queue, priority))
            if place is None:
                command = self._append_to(queue, priority)
                # Priorities of one step share a list, and so its order.
                place = lists.get(command[1])
                if place is None:
                    place = lists[command[1]] = _Appended(batch, self._keys.base(queue), command)
                places[queue, priority] = place
            if len(place.origins) >= together or (
                place.size and place.size + len(text) > _COMMAND_SIZE
            ):
                place.begin()
            place.words.append(text)
            place.origins.append(index)
            place.size += len(text)
        self._prolong(puts, batch)
        self._send(puts, batch, failed)
        raise_failed(puts, failed)

    def _prolong(self, puts: Sequence[Put], batch: _Batch) -> None:
        """Let the queues of the batch that expire live on for their time from now."""
        members: dict[str, list[int]] = {}
        for origins in (*batch.origins, *([index] for index in batch.done)):
            members.setdefault(puts[origins[0]].queue, []).extend(origins)
        for queue, indexes in members.items():
            for command in self._lifetime(queue):
                batch.add(self._keys.base(queue), command, indexes)

    def _send(self, puts: Sequence[Put], batch: _Batch, failed: dict[int, BaseException]) -> None:
        commands: list[tuple[str, Command]] = [*batch.commands]
        replicas = self._options.wait_replicas
        if replicas:
            timeout = self._replicas_timeout()
            bases = [base for base, _ in batch.commands]
            bases += [self._keys.base(puts[index].queue) for index in batch.done]
            for base in dict.fromkeys(bases):
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

    def _replicas_timeout(self) -> int:
        """Milliseconds to wait for replicas: never 0, which is for ever to the server."""
        seconds = self._options.wait_replicas_timeout
        reply = self._options.socket_timeout
        # It is to answer before its answer counts as missing.
        longest = 0.9 * (SOCKET_TIMEOUT if reply is None else reply or SOCKET_TIMEOUT)
        return max(int(1000 * min(longest if seconds is None else seconds, longest)), 1)

    def _put_bounded(self, item: Put, policy: QueuePolicy) -> bool:
        lists = self._keys.lists(item.queue)
        number = lists.index(self._keys.list_for(item.queue, item.priority)) + 1
        stored = self._server.script(
            self.put_script,
            lists,
            [number, or_none(policy.max_length), or_none(policy.max_bytes), write(item.message)],
        )
        return bool(stored)

    def _append_to(self, queue: str, priority: int) -> tuple[str, ...]:
        """The beginning of the command that appends messages; its second word is the key."""
        return "LPUSH", self._keys.list_for(queue, priority)

    def _delayed(self, item: Put, text: str) -> Command:
        # Those that are ready at one moment come in the order of their members.
        nonce = f"{time.time_ns():016x}{next(self._numbers):08x}{uuid.uuid4().hex[:8]}"
        member = f"{self._keys.step_of(item.priority)}:{nonce}:{text}"
        return "ZADD", self._keys.of_queue("delayed", item.queue), item.ready_at or 0, member

    def _lifetime(self, queue: str) -> list[Command]:
        """Commands after which an expiring queue lives on for its time from now."""
        expires = self._expiry.get(queue)
        if expires is not None:
            return self._touch(queue, expires)
        if queue in self._policies:
            # Declared here, not to expire.
            return []
        if self.find_expiry is not None and (others := self.find_expiry(queue)):
            return self._touch(queue, others)
        return []
