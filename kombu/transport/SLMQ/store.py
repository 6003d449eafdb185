"""SoftLayer Message Queue as a store: what is popped is hidden until its queue's timeout."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from kombu.transport.features import Features
from kombu.transport.SLMQ.client import ERRORS, Account, queue_name
from kombu.transport.SLMQ.options import SLMQOptions
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.store import (
    Claim,
    Envelope,
    PartialPutError,
    Put,
    QueueSpec,
)
from kombu.transport.waking import Polling, Waker, WakerStore
from kombu.utils.json import dumps

logger = logging.getLogger(__name__)

#: Messages that one request pops.
_POPPED = 100


class SLMQStore(WakerStore):
    """Messages of one account's queues.

    Arguments:
        account: logged in; this store closes it.
        interval: asked before each pause between two looks, seconds.
    """

    # The service tells neither how often it gave a message out, nor takes one back at once,
    # nor does it let a holder ask for more time: what is released is put again, at the end.
    features = Features(
        message_ttl=True,
        dead_letter=True,
        delay=True,
        mandatory=True,
        confirms=True,
        shared=True,
        durable=True,
        max_length_bytes=False,
        native=frozenset({"delay"}),
    )
    claim_window = 20

    def __init__(
        self, account: Account, options: SLMQOptions, interval: Callable[[], float]
    ) -> None:
        self.account = account
        self.options = options
        self.waker = Waker(Polling(self._has_messages, interval))
        self._declared: set[str] = set()

    def _path(self, queue: str) -> str:
        return f"queues/{queue_name(queue, self.options.queue_name_prefix)}"

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        self._declare(queue.name)

    def _declare(self, queue: str) -> None:
        if queue in self._declared:
            return
        settings = {"visibility_timeout": self.options.visibility_timeout}
        with ERRORS.mapped(f"declare queue {queue!r}"):
            self.account.ask("PUT", self._path(queue), None, settings)
        self._declared.add(queue)

    def delete(self, queue: str) -> int:
        self._declared.discard(queue)
        count = self.size(queue)
        with ERRORS.mapped(f"delete queue {queue!r}"):
            self.account.ask("DELETE", self._path(queue), {"force": 1}, missing_ok=True)
        return count

    def exists(self, queue: str) -> bool:
        with ERRORS.mapped(f"look up queue {queue!r}"):
            return self.account.ask("GET", self._path(queue), missing_ok=True) is not None

    def size(self, queue: str) -> int:
        with ERRORS.mapped(f"count queue {queue!r}"):
            found = self.account.ask("GET", self._path(queue), missing_ok=True)
        return 0 if found is None else int(found["visible_message_count"])

    def purge(self, queue: str) -> int:
        count = 0
        with ERRORS.mapped(f"purge queue {queue!r}"):
            while popped := self._pop(queue, _POPPED):
                for item in popped:
                    self._remove(queue, item["id"])
                count += len(popped)
        return count

    # ---- messages

    def put(self, puts: Sequence[Put]) -> None:
        with ERRORS.mapped(f"put {len(puts)} message(s)"):
            for index, put in enumerate(puts):
                try:
                    self._put(put)
                except ERRORS.errors as exc:
                    if index == 0:
                        raise
                    raise PartialPutError(dict.fromkeys(range(index, len(puts)), exc)) from exc
        self.waker.ring()

    def _put(self, put: Put) -> None:
        self._declare(put.queue)
        delay = 0.0 if put.ready_at is None else max(put.ready_at - time.time(), 0.0)
        self._push(put.queue, put.message, delay)

    def _push(self, queue: str, message: Envelope, delay: float = 0.0) -> None:
        content: dict[str, Any] = {"body": dumps(message)}
        if delay:
            content["visibility_delay"] = delay
        self.account.ask("POST", f"{self._path(queue)}/messages", None, content)

    def _pop(self, queue: str, count: int) -> list[dict[str, Any]]:
        path = f"{self._path(queue)}/messages"
        found = self.account.ask("GET", path, {"batch": count}, missing_ok=True)
        return [] if found is None else list(found["items"])

    def _remove(self, queue: str, identifier: str) -> None:
        path = f"{self._path(queue)}/messages/{identifier}"
        self.account.ask("DELETE", path, missing_ok=True)

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        claims: list[Claim] = []
        with ERRORS.mapped("claim messages"):
            for queue in queues:
                if len(claims) >= limit:
                    break
                for item in self._pop(queue, min(limit - len(claims), _POPPED)):
                    claim = self._to_claim(queue, item)
                    if claim is not None:
                        claims.append(claim)
        return claims

    def _to_claim(self, queue: str, item: dict[str, Any]) -> Claim | None:
        message = parse(item["body"])
        if message is None:
            self._set_aside(queue, item)
            return None
        properties = message["properties"]
        info = {
            **(properties.get("delivery_info") or {}),
            "slmq_message_id": item["id"],
            "slmq_queue_name": queue_name(queue, self.options.queue_name_prefix),
        }
        message["properties"] = {**properties, "delivery_info": info}
        redelivered = bool(message.get("redelivered"))
        return Claim(queue, message, item["id"], redelivered)

    def _set_aside(self, queue: str, item: dict[str, Any]) -> None:
        """Keep what is no message of ours, where no consumer meets it again."""
        target = f"{queue}_quarantine"
        self._declare(target)
        path = f"{self._path(target)}/messages"
        self.account.ask("POST", path, None, {"body": item["body"]})
        self._remove(queue, item["id"])
        logger.error(
            "message %s of queue %r is no message of kombu: moved to queue %r",
            item["id"],
            queue,
            target,
        )

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        count = len(acks) + len(releases) + len(rejects)
        with ERRORS.mapped(f"settle {count} message(s)"):
            for claim in releases:
                self._give_back(claim)
            for claim in (*acks, *rejects):
                self._settle(claim)
        if releases:
            self.waker.ring()

    def _give_back(self, claim: Claim) -> None:
        if claim.receipt is None or not self.exists(claim.queue):
            return
        # In this order: a message may come twice, but it is never in neither place.
        self._push(claim.queue, {**claim.message, "redelivered": True})
        self._settle(claim)

    def _settle(self, claim: Claim) -> None:
        if claim.receipt is not None:
            self._remove(claim.queue, claim.receipt)
            claim.receipt = None

    # ---- waking

    def _has_messages(self, queues: Sequence[str]) -> bool:
        return any(self.size(queue) for queue in queues)

    def close(self) -> None:
        self.waker.close()
        self.account.close()
