"""Consul's key/value store, sessions and transactions."""

from __future__ import annotations

import json
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from kombu.transport.http import Reply, Server, ServerError, Unsuitable, check, parsed, target
from kombu.transport.keyvalue.layout import queue_path
from kombu.transport.keyvalue.port import Folders, KeyValue, Listing, Stored

#: A transaction takes 64 operations and 512 KiB, values in base64.
_OPERATIONS = 64
_BYTES = 300_000
#: One message is checked and deleted; beside all of them the queue's lock and key are handled.
_TAKEN_AT_ONCE = (_OPERATIONS - 3) // 2
#: Seconds of a watch, at whose end the server answers that nothing came.
_WATCH = 300


class LockError(ServerError):
    """A lock that must be had could not be had."""


class ConsulKeys(KeyValue):
    """One Consul agent.

    Arguments:
        session_ttl: of sessions that are made for locks only, seconds.
    """

    # The limit of a value, less what a record needs beside its message.
    longest_value = 512 * 1024 - 4096
    longest_record = _BYTES
    appends = _OPERATIONS
    longest_append = _BYTES

    def __init__(self, server: Server, session_ttl: float) -> None:
        self.server = server
        self.session_ttl = session_ttl
        self._session = ""
        self._declared: set[str] = set()

    def probe(self) -> None:
        """Ask for something small.

        Raises:
            Unsuitable: it is no Consul.
        """
        reply = self.server.ask("GET", "/v1/status/leader")
        if reply.status != 404:
            check(reply)
        if reply.status == 404 or not isinstance(parsed(reply), str):
            raise Unsuitable(f"{self.server.host}:{self.server.port} is no Consul agent")

    # ---- requests

    def _get(self, key: str, **query: Any) -> tuple[list[Any], int]:
        reply = self.server.ask("GET", f"/v1/kv/{key}", query)
        if reply.status != 404:
            check(reply)
        return [] if reply.status == 404 else parsed(reply), _index(reply)

    def _transact(
        self, operations: Sequence[Mapping[str, Any]]
    ) -> tuple[list[Any], dict[int, str]]:
        """A transaction: (what was done, errors by operation); with errors nothing was done."""
        body = json.dumps([{"KV": each} for each in operations]).encode()
        reply = self.server.ask("PUT", "/v1/txn", None, body, "application/json")
        if reply.status != 409:
            check(reply)
        answer = parsed(reply)
        errors = {each["OpIndex"]: str(each["What"]) for each in answer.get("Errors") or ()}
        return answer.get("Results") or [], errors

    # ---- queues

    def queue_folder(self, queue: str) -> str:
        return f"{queue_path(queue)}/msg"

    def declare(self, queue: str) -> None:
        self.swap(queue_path(queue), "", 0)
        self._declared.add(queue)

    def exists(self, queue: str) -> bool:
        if self._get(queue_path(queue), keys="", separator="/")[0]:
            return self.read(queue_path(queue)) is not None or self._has_messages(queue)
        return False

    def _has_messages(self, queue: str) -> bool:
        return bool(self._get(f"{self.queue_folder(queue)}/", keys="")[0])

    def delete_queue(self, queue: str) -> None:
        self._declared.discard(queue)
        folder = f"/v1/kv/{self.queue_folder(queue)}/"
        check(self.server.ask("DELETE", folder, {"recurse": "1"}))
        self.delete(queue_path(queue))

    def append(self, queue: str, values: Sequence[str]) -> None:
        if queue not in self._declared:
            self.declare(queue)
        # As published: the milliseconds by which published peers order, and a UUID. All of
        # one transaction are created at the same index, so the UUIDs of these are in order.
        begin = f"{self.queue_folder(queue)}/{int(time.monotonic() * 1000)}_"
        keys = [f"{begin}{_ordered_uuid(number)}" for number in range(len(values))]
        if len(values) == 1:
            path = f"/v1/kv/{keys[0]}"
            reply = self.server.ask("PUT", path, {"cas": 0}, _encode(values[0]))
            done = parsed(check(reply)) is True
        else:
            operations = [
                {"Verb": "cas", "Key": key, "Index": 0, "Value": _base64(value)}
                for key, value in zip(keys, values, strict=True)
            ]
            done = not self._transact(operations)[1]
        if not done:
            raise ServerError(f"messages for queue {queue!r} were not taken")

    def take(self, queue: str, messages: Sequence[Stored]) -> list[bool] | None:
        taken: list[bool] = []
        for start in range(0, len(messages), _TAKEN_AT_ONCE):
            some = self._take(queue, messages[start : start + _TAKEN_AT_ONCE])
            if some is None:
                return taken + [False] * (len(messages) - len(taken)) if any(taken) else None
            taken += some
        return taken

    def _take(self, queue: str, messages: Sequence[Stored]) -> list[bool] | None:
        folder, path = self.queue_folder(queue), queue_path(queue)
        left = list(messages)
        while left:
            # Published peers read a queue and delete a message of it under its lock, and don't
            # look whether it was still there: nothing must be taken meanwhile.
            lock = {"Key": f"{path}.lock", "Session": self._lock_session()}
            operations: list[dict[str, Any]] = [{"Verb": "lock", **lock}]
            for message in left:
                key = f"{folder}/{message.name}"
                # Not delete-cas: for that, a key that is gone is as good as deleted.
                operations.append({"Verb": "check-index", "Key": key, "Index": message.version})
                operations.append({"Verb": "delete", "Key": key})
            operations.append({"Verb": "set", "Key": path, "Value": None})
            operations.append({"Verb": "delete", "Key": lock["Key"]})
            _, errors = self._transact(operations)
            if not errors:
                break
            if "session" in errors.get(0, ""):
                self._session = ""
            elif 0 in errors:
                return None
            gone = {(number - 1) // 2 for number in errors if 0 < number < len(operations) - 2}
            left = [message for number, message in enumerate(left) if number not in gone]
        ours = {message.name for message in left}
        return [message.name in ours for message in messages]

    def put_back(self, queue: str, message: Stored) -> bool:
        # The index of its creation can't be set again; the flags keep it.
        key = f"{self.queue_folder(queue)}/{message.name}"
        query = {"cas": 0, "flags": message.order}
        reply = self.server.ask("PUT", f"/v1/kv/{key}", query, _encode(message.value))
        return parsed(check(reply)) is True

    # ---- keys

    def read(self, key: str) -> Stored | None:
        found, _ = self._get(key)
        return _stored(found[0]) if found else None

    def list(self, folder: str) -> Listing:
        found, index = self._get(f"{folder}/", recurse="1")
        begin = len(folder) + 1
        return Listing([_stored(each) for each in found if "/" not in each["Key"][begin:]], index)

    def folders(self, folder: str) -> Folders:
        found, index = self._get(f"{folder}/", keys="", separator="/")
        names = [key[:-1].rpartition("/")[2] for key in found if key.endswith("/")]
        return Folders(names, index)

    def write(self, key: str, value: str) -> None:
        check(self.server.ask("PUT", f"/v1/kv/{key}", None, _encode(value)))

    def swap(self, key: str, value: str, version: int) -> int | None:
        data = _encode(value)
        if len(data) <= _BYTES:
            operation = {"Verb": "cas", "Key": key, "Index": version, "Value": _base64(value)}
            results, errors = self._transact([operation])
            return None if errors else int(results[0]["KV"]["ModifyIndex"])
        reply = self.server.ask("PUT", f"/v1/kv/{key}", {"cas": version}, data)
        if parsed(check(reply)) is not True:
            return None
        found = self.read(key)
        return None if found is None else found.version

    def delete(self, key: str, version: int | None = None) -> bool:
        operations: list[dict[str, Any]] = [{"Verb": "delete", "Key": key}]
        if version is not None:
            operations.insert(0, {"Verb": "check-index", "Key": key, "Index": version})
        return not self._transact(operations)[1]

    # ---- owners

    def open_owner(self, key: str, lease: float) -> Any:
        session = self._create_session(lease)
        reply = self.server.ask("PUT", f"/v1/kv/{key}", {"acquire": session}, b"")
        if parsed(check(reply)) is not True:
            raise LockError(f"a new session could not lock the new key {key}")
        self._session = session
        return session

    def _create_session(self, ttl: float) -> str:
        wanted = {
            "Name": "kombu",
            "TTL": f"{ttl:g}s",
            # What it locks goes with it, at once.
            "Behavior": "delete",
            "LockDelay": "0s",
        }
        body = json.dumps(wanted).encode()
        reply = self.server.ask("PUT", "/v1/session/create", None, body, "application/json")
        return str(parsed(check(reply))["ID"])

    def _lock_session(self) -> str:
        if not self._session:
            self._session = self._create_session(self.session_ttl)
        return self._session

    def renew_owner(self, owner: Any) -> bool:
        reply = self.server.ask("PUT", f"/v1/session/renew/{owner}")
        if reply.status == 404:
            return False
        check(reply)
        return True

    def close_owner(self, owner: Any) -> None:
        check(self.server.ask("PUT", f"/v1/session/destroy/{owner}"))

    # ---- watching

    def watch_request(self, folder: str, index: int) -> str:
        query = {"keys": "", "separator": "/", "index": max(index, 1), "wait": f"{_WATCH}s"}
        return target(f"/v1/kv/{folder}/", query)

    def watch_result(self, reply: Reply, index: int) -> int | None:
        if reply.status != 404:
            check(reply)
        return index if _index(reply) == index else None

    def close(self) -> None:
        self.server.close()


def _index(reply: Reply) -> int:
    return int(reply.headers.get("x-consul-index") or 0)


def _encode(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def _base64(value: str) -> str:
    return b64encode(_encode(value)).decode()


def _stored(entry: Mapping[str, Any]) -> Stored:
    value = b64decode(entry["Value"] or "").decode("utf-8", "surrogateescape")
    order = int(entry["Flags"] or entry["CreateIndex"])
    return Stored(entry["Key"].rpartition("/")[2], value, int(entry["ModifyIndex"]), order)


def _ordered_uuid(number: int) -> UUID:
    """A random one that sorts by number."""
    return UUID(int=(number << 112) | (uuid4().int & ((1 << 112) - 1)))
