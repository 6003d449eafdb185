"""The store contract as tests: what ``kombu.transport.virtual.store.Store`` promises.

A driver's own test module derives from :class:`StoreContract` and gives ``open_store``, a
fixture that returns a function which opens one more store on the same, empty backend::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def open_store(self): ...
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from uuid import uuid4

import pytest

from kombu.transport.virtual.store import Claim, Envelope, Put, QueueSpec, Store

OpenStore = Callable[[], Store]
#: Seconds within which a backend must have done what needs no waiting.
PROMPT = 5.0


def envelope(text: str) -> Envelope:
    """A message as the virtual layer stores it."""
    return {
        "body": text,
        "content-type": "text/plain",
        "content-encoding": "utf-8",
        "headers": {},
        "properties": {
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "key"},
            "priority": 0,
            "body_encoding": "utf-8",
            "delivery_tag": str(uuid4()),
        },
    }


def bodies(claims: list[Claim]) -> list[str]:
    return [claim.message["body"] for claim in claims]


class StoreContract:
    """Behaviour of every store, whatever its backend."""

    #: With what a queue is declared that shall deliver by priority.
    priority_arguments: Mapping[str, object] = {"x-max-priority": 9}

    #: Whether two claims at one moment may get the same message, as backends that deliver at
    #: least once say of themselves.
    may_overlap = False

    @pytest.fixture
    def stores(self, open_store: OpenStore) -> Iterator[OpenStore]:
        opened: list[Store] = []

        def open_one() -> Store:
            opened.append(open_store())
            return opened[-1]

        yield open_one
        for store in opened:
            with suppress(Exception):
                store.close()

    @pytest.fixture
    def store(self, stores: OpenStore) -> Store:
        return stores()

    @pytest.fixture
    def queue(self, store: Store) -> Iterator[str]:
        name = f"contract-{uuid4().hex[:10]}"
        store.declare(QueueSpec(name))
        yield name
        with suppress(Exception):
            store.delete(name)

    def put(self, store: Store, queue: str, *texts: str, priority: int = 0) -> None:
        store.put([Put(queue, envelope(text), priority) for text in texts])

    def claim(self, store: Store, queue: str, count: int) -> list[Claim]:
        """Claim exactly ``count`` messages, waiting for them where needed."""
        claims: list[Claim] = []
        deadline = time.monotonic() + PROMPT
        while len(claims) < count and time.monotonic() < deadline:
            claims += store.claim([queue], count - len(claims))
            if len(claims) < count:
                store.wait([queue], 0.2)
        assert len(claims) == count
        return claims

    # ---- queues

    def test_a_declared_queue_exists_though_it_is_empty(self, store: Store, queue: str) -> None:
        assert store.exists(queue)
        assert store.size(queue) == 0

    def test_an_unknown_queue_is_empty_not_an_error(self, store: Store) -> None:
        name = f"contract-unknown-{uuid4().hex[:10]}"
        assert not store.exists(name)
        assert store.claim([name], 5) == []
        assert store.size(name) == 0
        assert store.delete(name) == 0

    def test_delete_counts_and_forgets(self, store: Store, queue: str) -> None:
        self.put(store, queue, "one", "two")
        assert store.delete(queue) == 2
        assert not store.exists(queue)
        assert store.claim([queue], 5) == []

    def test_purge_leaves_what_is_claimed(self, store: Store, queue: str) -> None:
        self.put(store, queue, "one", "two", "three")
        (claim,) = self.claim(store, queue, 1)
        assert store.purge(queue) == 2
        store.settle(releases=[claim])
        assert bodies(self.claim(store, queue, 1)) == ["one"]

    # ---- claims

    def test_messages_come_in_the_order_they_were_put(self, store: Store, queue: str) -> None:
        texts = [str(number) for number in range(30)]
        self.put(store, queue, *texts[:10])
        for text in texts[10:]:
            self.put(store, queue, text)
        assert bodies(self.claim(store, queue, 30)) == texts

    def test_a_claimed_message_is_claimed_once(self, stores: OpenStore, queue: str) -> None:
        one, other = stores(), stores()
        self.put(one, queue, "a", "b")
        assert len(self.claim(one, queue, 2)) == 2
        assert other.claim([queue], 2) == []
        assert one.size(queue) == 0

    def test_a_claim_takes_no_more_than_its_limit(self, store: Store, queue: str) -> None:
        self.put(store, queue, *"abcde")
        assert len(store.claim([queue], 2)) <= 2
        assert store.size(queue) >= 3

    def test_contending_claimers_share_without_overlap(self, stores: OpenStore, queue: str) -> None:
        total, taken, lock = 200, [], threading.Lock()
        writer = stores()
        self.put(writer, queue, *(str(number) for number in range(total)))

        def work(store: Store) -> None:
            deadline = time.monotonic() + PROMPT * 2
            while time.monotonic() < deadline:
                claims = store.claim([queue], 7)
                with lock:
                    taken.extend(bodies(claims))
                    if len(set(taken)) >= total:
                        return
                store.settle(acks=claims)

        threads = [threading.Thread(target=work, args=(stores(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PROMPT * 3)
        claimed = set(taken) if self.may_overlap else taken
        assert sorted(claimed, key=int) == [str(number) for number in range(total)]

    def test_higher_priority_first_then_age(self, store: Store, queue: str) -> None:
        if not store.features.priority:
            pytest.skip("not a feature of this store")
        store.declare(QueueSpec(queue, arguments=self.priority_arguments))
        for number in range(4):
            self.put(store, queue, f"low-{number}", priority=0)
            self.put(store, queue, f"high-{number}", priority=9)
        order = bodies(self.claim(store, queue, 8))
        groups = [text.split("-")[0] for text in order]
        assert groups in (["high"] * 4 + ["low"] * 4, ["low"] * 4 + ["high"] * 4)
        assert [t for t in order if t.startswith("low")] == [f"low-{n}" for n in range(4)]
        assert [t for t in order if t.startswith("high")] == [f"high-{n}" for n in range(4)]

    # ---- settling

    def test_an_acked_message_is_gone(self, stores: OpenStore, queue: str) -> None:
        store = stores()
        self.put(store, queue, "a")
        store.settle(acks=self.claim(store, queue, 1))
        store.close()
        assert stores().claim([queue], 1) == []

    def test_released_messages_return_to_the_head_in_order(self, store: Store, queue: str) -> None:
        self.put(store, queue, *"abcdef")
        claims = self.claim(store, queue, 4)
        store.settle(acks=[claims[1]], releases=[claims[3], claims[0], claims[2]])
        again = self.claim(store, queue, 5)
        assert bodies(again) == ["a", "c", "d", "e", "f"]
        assert [claim.redelivered for claim in again] == [True, True, True, False, False]

    def test_settling_twice_does_nothing(self, store: Store, queue: str) -> None:
        self.put(store, queue, "a", "b")
        first, second = self.claim(store, queue, 2)
        store.settle(releases=[first])
        store.settle(acks=[first])
        store.settle(releases=[first])
        store.settle(acks=[second])
        assert bodies(self.claim(store, queue, 1)) == ["a"]
        assert store.claim([queue], 5) == []

    def test_an_old_receipt_leaves_the_new_holder_alone(
        self, stores: OpenStore, queue: str
    ) -> None:
        one, other = stores(), stores()
        self.put(one, queue, "a")
        (old,) = self.claim(one, queue, 1)
        one.settle(releases=[old])
        (new,) = self.claim(other, queue, 1)
        one.settle(acks=[old])
        one.settle(releases=[old])
        one.renew([old])
        assert one.claim([queue], 1) == []
        other.settle(releases=[new])
        assert bodies(self.claim(one, queue, 1)) == ["a"]

    def test_claims_of_a_deleted_queue_settle_quietly(self, store: Store, queue: str) -> None:
        self.put(store, queue, "a", "b")
        claims = self.claim(store, queue, 2)
        store.delete(queue)
        store.settle(acks=claims[:1], releases=claims[1:])

    def test_claims_survive_a_renewal(self, store: Store, queue: str) -> None:
        self.put(store, queue, "a")
        claims = self.claim(store, queue, 1)
        store.renew(claims)
        store.settle(acks=claims)
        assert store.claim([queue], 1) == []

    # ---- delay

    def test_a_delayed_message_waits_for_its_time(self, store: Store, queue: str) -> None:
        if "delay" not in store.features.native:
            pytest.skip("delays are not this store's own affair")
        ready_at = time.time() + 0.5
        store.put([Put(queue, envelope("later"), ready_at=ready_at)])
        assert store.claim([queue], 1) == []
        assert store.size(queue) == 0
        assert bodies(self.claim(store, queue, 1)) == ["later"]
        assert time.time() >= ready_at - 0.05

    def test_another_clients_delayed_message_ends_a_wait_in_time(
        self, stores: OpenStore, queue: str
    ) -> None:
        waiting, putting = stores(), stores()
        if "delay" not in waiting.features.native:
            pytest.skip("delays are not this store's own affair")
        while waiting.wait([queue], 0.1):
            assert waiting.claim([queue], 1) == []
        ready_at = time.time() + 1.0
        putting.put([Put(queue, envelope("later"), ready_at=ready_at)])
        claims: list[Claim] = []
        while not claims and time.time() < ready_at + PROMPT:
            waiting.wait([queue], ready_at + PROMPT - time.time())
            claims = waiting.claim([queue], 1)
        assert bodies(claims) == ["later"]
        assert time.time() - ready_at < PROMPT / 2

    # ---- waking

    def test_wait_keeps_its_timeout(self, store: Store, queue: str) -> None:
        end = time.monotonic() + 0.3
        while time.monotonic() < end and not store.claim([queue], 1):
            store.wait([queue], max(end - time.monotonic(), 0.0))
        assert -0.01 <= time.monotonic() - end < 1.0

    def test_a_put_wakes_a_waiting_claimer(self, stores: OpenStore, queue: str) -> None:
        waiting, putting = stores(), stores()
        claims: list[Claim] = []

        def consume() -> None:
            claims.extend(self.claim(waiting, queue, 1))

        thread = threading.Thread(target=consume)
        thread.start()
        self.put(putting, queue, "a")
        thread.join(PROMPT + 1)
        assert bodies(claims) == ["a"]

    def test_interrupt_ends_a_wait(self, store: Store, queue: str) -> None:
        ended = threading.Event()

        def sleep() -> None:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and store.wait([queue], 30):
                pass
            ended.set()

        thread = threading.Thread(target=sleep)
        thread.start()
        store.interrupt()
        assert ended.wait(PROMPT)
        thread.join(PROMPT)

    # ---- life

    def test_claims_return_when_their_store_closes_or_can_be_renewed_until(
        self, stores: OpenStore, queue: str
    ) -> None:
        store = stores()
        self.put(store, queue, "a")
        claims = self.claim(store, queue, 1)
        store.settle(releases=claims)
        store.close()
        store.close()
        assert bodies(self.claim(stores(), queue, 1)) == ["a"]
