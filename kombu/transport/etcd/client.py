"""etcd's version 2 keys, where published peers keep their messages.

The version 2 API changes one key at a time; the version 3 API keeps its keys apart from
these, so that messages put by the one are not seen by the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from kombu.transport.http import Reply, Server, Unsuitable, check, parsed, target
from kombu.transport.keyvalue.layout import queue_path
from kombu.transport.keyvalue.port import Folders, KeyValue, Listing, Stored

_FORM = "application/x-www-form-urlencoded"

# Error codes of the API.
_NOT_FOUND = 100
_CHANGED = 101
_NOT_A_FILE = 102
_EXISTS = 105
_NOT_EMPTY = 108
_TOO_LONG_AGO = 401


class EtcdKeys(KeyValue):
    """One etcd server, or a cluster by any of its servers."""

    # A form of 10 MiB is taken, and in one each byte may need three.
    longest_value = 3_400_000
    longest_record = 500_000

    def __init__(self, server: Server) -> None:
        self.server = server

    def probe(self) -> None:
        """Ask for something small.

        Raises:
            Unsuitable: the version 2 API is off there, or it is no etcd.
        """
        reply = self.server.ask("GET", "/v2/keys/kombu/.kombu/probe")
        if reply.status in (401, 403) or reply.status >= 500:
            check(reply)
        if "x-etcd-index" not in reply.headers:
            raise Unsuitable(
                f"{self.server.host}:{self.server.port} does not serve etcd's version 2 API: "
                "start etcd 3.4 or 3.5 with --enable-v2=true (etcd 3.6 has no such API)"
            )

    def _ask(
        self,
        method: str,
        key: str,
        form: Mapping[str, Any] | None = None,
        expected: Sequence[int] = (),
        **query: Any,
    ) -> tuple[int, dict[str, Any], int]:
        """A request: (error code or 0, what was answered, index of the store).

        Arguments:
            expected: error codes that are answers, not errors.
        """
        reply = self.server.ask(
            method,
            f"/v2/keys/{key}",
            query,
            urlencode(form).encode() if form is not None else None,
            _FORM if form is not None else None,
        )
        index = int(reply.headers.get("x-etcd-index") or 0)
        if reply.status < 400:
            return 0, parsed(reply), index
        if reply.status < 500 and "x-etcd-index" in reply.headers:
            said = parsed(reply)
            if said.get("errorCode") in expected:
                return said["errorCode"], said, index
        check(reply)
        raise AssertionError  # check raises for every such status

    # ---- queues

    def queue_folder(self, queue: str) -> str:
        return queue_path(queue)

    def declare(self, queue: str) -> None:
        form = {"dir": "true"}
        self._ask("PUT", queue_path(queue), form, (_NOT_A_FILE, _EXISTS), prevExist="false")

    def exists(self, queue: str) -> bool:
        # HEAD: the answer to a GET would hold the whole queue.
        reply = self.server.ask("HEAD", f"/v2/keys/{queue_path(queue)}")
        if reply.status == 404:
            return False
        check(reply)
        return True

    def delete_queue(self, queue: str) -> None:
        folder = queue_path(queue)
        if not self.folders(folder).names:
            self._ask("DELETE", folder, None, (_NOT_FOUND,), recursive="true")
            return
        # Queues whose names begin with this one's and a slash are its folders.
        for stored in self.list(folder).stored:
            self.delete(f"{folder}/{stored.name}")

    def append(self, queue: str, values: Sequence[str]) -> None:
        for value in values:
            self._ask("POST", queue_path(queue), {"value": value})

    def take(self, queue: str, messages: Sequence[Stored]) -> list[bool]:
        folder = queue_path(queue)
        return [self.delete(f"{folder}/{each.name}", each.version) for each in messages]

    def put_back(self, queue: str, message: Stored) -> bool:
        # Its name is its place in the order.
        return self.swap(f"{queue_path(queue)}/{message.name}", message.value, 0) is not None

    # ---- keys

    def read(self, key: str) -> Stored | None:
        error, answer, _ = self._ask("GET", key, None, (_NOT_FOUND,))
        if error or answer["node"].get("dir"):
            return None
        return _stored(answer["node"])

    def list(self, folder: str) -> Listing:
        error, answer, index = self._ask("GET", folder, None, (_NOT_FOUND,))
        if error:
            return Listing([], int(answer.get("index") or index))
        nodes = answer["node"].get("nodes") or ()
        return Listing([_stored(node) for node in nodes if not node.get("dir")], index)

    def folders(self, folder: str) -> Folders:
        error, answer, index = self._ask("GET", folder, None, (_NOT_FOUND,))
        if error:
            return Folders((), int(answer.get("index") or index))
        nodes = answer["node"].get("nodes") or ()
        names = [node["key"].rpartition("/")[2] for node in nodes if node.get("dir")]
        return Folders(names, index)

    def write(self, key: str, value: str) -> None:
        self._ask("PUT", key, {"value": value})

    def swap(self, key: str, value: str, version: int) -> int | None:
        condition = {"prevIndex": version} if version else {"prevExist": "false"}
        expected = (_NOT_FOUND, _CHANGED, _EXISTS)
        error, answer, _ = self._ask("PUT", key, {"value": value}, expected, **condition)
        return None if error else int(answer["node"]["modifiedIndex"])

    def delete(self, key: str, version: int | None = None) -> bool:
        query = {} if version is None else {"prevIndex": version}
        error, _, _ = self._ask("DELETE", key, None, (_NOT_FOUND, _CHANGED), **query)
        return not error

    def drop_folder(self, folder: str) -> None:
        self._ask("DELETE", folder, None, (_NOT_FOUND, _NOT_EMPTY), dir="true")

    # ---- owners

    def open_owner(self, key: str, lease: float) -> Any:
        seconds = max(math.ceil(lease), 1)
        self._ask("PUT", key, {"value": "", "ttl": seconds}, prevExist="false")
        return key, seconds

    def renew_owner(self, owner: Any) -> bool:
        key, seconds = owner
        # refresh: whoever watches is not told.
        form = {"ttl": seconds, "refresh": "true"}
        error, _, _ = self._ask("PUT", key, form, (_NOT_FOUND,), prevExist="true")
        return not error

    def close_owner(self, owner: Any) -> None:
        self.delete(owner[0])

    # ---- watching

    def watch_request(self, folder: str, index: int) -> str:
        query = {"wait": "true", "recursive": "true", "waitIndex": index + 1}
        return target(f"/v2/keys/{folder}", query)

    def watch_result(self, reply: Reply, index: int) -> int | None:
        if reply.status == 400 and parsed(reply).get("errorCode") == _TOO_LONG_AGO:
            return None
        check(reply)
        if not reply.body.strip():
            return None  # the server ended it
        event = parsed(reply)
        # Messages that others took are no news; owners that died are.
        if event["action"] in ("delete", "compareAndDelete"):
            return int(event["node"]["modifiedIndex"])
        return None

    def close(self) -> None:
        self.server.close()


def _stored(node: Mapping[str, Any]) -> Stored:
    name = node["key"].rpartition("/")[2]
    order = int(name) if name.isdecimal() else int(node["createdIndex"])
    return Stored(name, node.get("value", ""), int(node["modifiedIndex"]), order)
