"""The queues of a broker process as a store of leased messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kombu.transport.features import SHARED_STORE
from kombu.transport.pyro.errors import ERRORS
from kombu.transport.pyro.link import Link
from kombu.transport.virtual.envelope import foreign, parse
from kombu.transport.virtual.store import (
    Claim,
    Discard,
    Put,
    QueueFull,
    QueueSpec,
    Store,
    raise_failed,
)
from kombu.utils.json import dumps


class PyroStore(Store):
    """What the broker process holds, claimed under this client's session.

    Arguments:
        link: to the broker; this store closes it.
        lease: seconds.
    """

    features = replace(
        SHARED_STORE,
        durable=False,
        native=frozenset({"priority", "message_ttl", "max_length", "delay", "leases"}),
    )
    claim_window = 100

    def __init__(self, link: Link, lease: float) -> None:
        self.link = link
        self.lease = lease
        self._interrupted = threading.Event()

    def _call(self, doing: str, method: str, *arguments: Any) -> Any:
        with ERRORS.mapped(doing):
            return self.link.call(method, *arguments)

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        options = queue._asdict()
        name = options.pop("name")
        options["arguments"] = dict(queue.arguments)
        self._call(f"declare queue {name!r}", "declare", name, options)

    def delete(self, queue: str) -> int:
        return int(self._call(f"delete queue {queue!r}", "delete", queue))

    def exists(self, queue: str) -> bool:
        return bool(self._call(f"look up queue {queue!r}", "has_queue", queue))

    def size(self, queue: str) -> int:
        return int(self._call(f"count queue {queue!r}", "size", queue))

    def purge(self, queue: str) -> int:
        return int(self._call(f"purge queue {queue!r}", "purge", queue))

    def queue_names(self) -> Sequence[str]:
        names: list[str] = self._call("list queues", "get_queue_names")
        return names

    # ---- messages

    def put(self, puts: Sequence[Put]) -> None:
        sent = [(put.queue, dumps(put.message), *put[2:]) for put in puts]
        refused = self._call(f"put {len(puts)} message(s)", "put_all", sent)
        full = {index: QueueFull(f"queue {puts[index].queue!r} is full") for index in refused}
        raise_failed(puts, full)

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        found = self._call("claim messages", "claim", self.link.token, list(queues), limit)
        return [self._received(*sent) for sent in found]

    def sweep(self, limit: int) -> list[Discard]:
        found = self._call("sweep", "sweep", self.link.token, limit)
        return [Discard(reason, self._received(*sent)) for reason, sent in found]

    @staticmethod
    def _received(queue: str, text: str, receipt: int, redelivered: bool, deliveries: int) -> Claim:
        message = parse(text) or foreign(text)  # of others' making
        return Claim(queue, message, receipt, redelivered, deliveries)

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        done = [claim.receipt for claim in (*acks, *rejects)]
        returned = [claim.receipt for claim in releases]
        if done or returned:
            doing = f"settle {len(done) + len(returned)} message(s)"
            self._call(doing, "settle", self.link.token, done, returned)

    def renew(self, claims: Sequence[Claim]) -> None:
        receipts = [claim.receipt for claim in claims]
        self._call(f"renew {len(receipts)} lease(s)", "renew", self.link.token, receipts)

    # ---- waking

    def wait(self, queues: Sequence[str], timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._interrupted.is_set():
            pause = self.link.longest_wait
            if deadline is not None:
                pause = min(pause, max(deadline - time.monotonic(), 0.0))
            with ERRORS.mapped("wait for messages"):
                if self.link.wait(list(queues), pause):
                    return True
            if deadline is not None and time.monotonic() >= deadline:
                return False
        self._interrupted.clear()
        return False

    def interrupt(self) -> None:
        self._interrupted.set()
        self._call("end a wait", "interrupt", self.link.token)

    def close(self) -> None:
        self.link.close()
