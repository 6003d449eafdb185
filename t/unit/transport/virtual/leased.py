"""A store with leases and windows for tests: in-memory, and it counts what it is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from amqp.exceptions import ChannelError

from kombu import Connection
from kombu.transport import memory, virtual
from kombu.transport.memory import MemoryBroker, MemoryStore
from kombu.transport.virtual.store import Claim


class LeasedStore(MemoryStore):
    lease: float | None = 0.2
    claim_window = 10

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.claims_asked: list[tuple[tuple[str, ...], int]] = []
        self.settled: list[tuple[int, int, int]] = []
        self.renewed = threading.Event()
        self.settled_event = threading.Event()
        self.failing: BaseException | None = None
        self.tries = 0
        #: Queues none of whose messages can be settled.
        self.refused: set[str] = set()
        #: When renewals were asked for, and how many of them are to fail yet.
        self.renewals: list[float] = []
        self.renewals_to_fail = 0

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        self.claims_asked.append((tuple(queues), limit))
        return super().claim(queues, limit)

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        self.tries += 1
        if self.failing is not None:
            raise self.failing
        if any(claim.queue in self.refused for claim in (*acks, *releases, *rejects)):
            raise ChannelError("refused")
        self.settled.append((len(acks), len(releases), len(rejects)))
        super().settle(acks, releases, rejects)
        self.settled_event.set()

    def renew(self, claims: Sequence[Claim]) -> None:
        self.renewals.append(time.monotonic())
        if self.renewals_to_fail:
            self.renewals_to_fail -= 1
            raise ChannelError("not now")
        self.renewed.set()


class Transport(memory.Transport):
    def create_store(self) -> Any:
        return LeasedStore(self.broker)


def connect(name: str, **options: Any) -> Any:
    client = Connection(transport=Transport, virtual_host=name, transport_options=options)
    client.connect()
    return client


def store_of(client: Any) -> LeasedStore:
    store = client.transport.store
    assert isinstance(store, LeasedStore)
    return store


__all__ = ("LeasedStore", "Transport", "connect", "store_of", "virtual")
