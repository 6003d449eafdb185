"""What a store on a key-value server keeps when its process dies, or sleeps, at any point."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest
from amqp.exceptions import RecoverableConnectionError

from kombu.testing.conformance.store import StoreContract, bodies, envelope
from kombu.transport.http import ServerError
from kombu.transport.keyvalue.claims import Held
from kombu.transport.keyvalue.layout import DELAYED, HOME, DelayedName
from kombu.transport.keyvalue.port import Listing, Stored
from kombu.transport.keyvalue.store import KeyValueStore, MessageTooLarge
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.store import Put, Store

OpenStore = Callable[[], KeyValueStore]


class KeyValueContract(StoreContract):
    """The store's contract, and where its process may stop."""

    def listed(self, store: KeyValueStore, queue: str) -> list[Held]:
        """All of a queue as records have it."""
        found = store.keys.list(store.keys.queue_folder(queue)).stored
        held = []
        for stored in sorted(found, key=lambda each: (each.order, each.name)):
            message = parse(stored.value)
            assert message is not None
            held.append(Held(stored.name, stored.order, message))
        return held

    def test_a_dead_owners_messages_return_in_order(self, stores: OpenStore, queue: str) -> None:
        dead, living = stores(), stores()
        self.put(dead, queue, *"abcd")
        self.claim(dead, queue, 3)
        dead.close()  # without settling
        again = self.claim(living, queue, 4)
        assert bodies(again) == list("abcd")
        assert [claim.redelivered for claim in again] == [True, True, True, False]
        assert [claim.deliveries for claim in again] == [1, 1, 1, 0]

    def test_an_owner_that_sleeps_loses_its_messages_and_settles_nothing(
        self, stores: OpenStore, queue: str
    ) -> None:
        asleep, awake = stores(), stores()
        self.put(asleep, queue, *"ab")
        old = self.claim(asleep, queue, 2)
        new = self.claim(awake, queue, 2)  # waits for the lease to end
        assert bodies(new) == list("ab")
        asleep.settle(acks=old[:1], releases=old[1:])
        assert asleep.size(queue) == 0
        awake.settle(releases=new)
        assert bodies(self.claim(awake, queue, 2)) == list("ab")

    def test_died_between_the_record_and_the_taking(self, stores: OpenStore, queue: str) -> None:
        dead, living = stores(), stores()
        self.put(dead, queue, *"ab")
        dead.claims.record(queue, self.listed(dead, queue))
        dead.close()
        claims = self.claim(living, queue, 2)
        assert bodies(claims) == list("ab")
        assert not any(claim.redelivered for claim in claims)
        living.settle(acks=claims)
        assert living.claim([queue], 5) == []

    def test_slept_between_the_record_and_the_taking(self, stores: OpenStore, queue: str) -> None:
        asleep, awake = stores(), stores()
        self.put(asleep, queue, *"ab")
        found = asleep.keys.list(asleep.keys.queue_folder(queue)).stored
        asleep.claims.record(queue, self.listed(asleep, queue))
        asleep.owner.close()
        assert awake.claim([], 1) == []  # notices the dead owner, and that its messages are here
        assert asleep.keys.take(queue, found) == [False, False]
        assert bodies(self.claim(awake, queue, 2)) == list("ab")

    def test_died_while_it_gave_back(self, stores: OpenStore, queue: str) -> None:
        dead, living = stores(), stores()
        self.put(dead, queue, *"ab")
        (claim, _) = self.claim(dead, queue, 2)
        holding, name = claim.receipt
        dead.claims.give_back(holding, [holding.held[name]])
        dead.close()
        claims = self.claim(living, queue, 2)
        assert bodies(claims) == list("ab")
        living.settle(acks=claims)
        assert living.claim([queue], 5) == []

    def test_died_while_it_put_what_was_delayed_into_its_queue(
        self, stores: OpenStore, queue: str
    ) -> None:
        dead, living = stores(), stores()
        name = DelayedName(1, queue).new_key().rpartition("/")[2]
        dead.claims.record(queue, [Held(name, None, envelope("delayed"))])
        dead.close()
        (claim,) = self.claim(living, queue, 1)
        assert claim.message["body"] == "delayed"
        assert not claim.redelivered

    def test_slept_before_it_took_what_was_delayed(self, stores: OpenStore, queue: str) -> None:
        asleep, awake = stores(), stores()
        asleep.put([Put(queue, envelope("delayed"), ready_at=time.time() + 2)])
        ((folder, found),) = [
            (folder, stored)
            for folder in asleep.keys.folders(DELAYED).names
            for stored in asleep.keys.list(f"{DELAYED}/{folder}").stored
            if DelayedName.parse(stored.name).queue == queue
        ]
        asleep.claims.record(queue, [Held(found.name, None, envelope("delayed"))])
        asleep.owner.close()
        assert awake.claim([queue], 1) == []
        assert not asleep.keys.delete(f"{DELAYED}/{folder}/{found.name}", found.version)
        claims = self.claim(awake, queue, 1)
        awake.settle(acks=claims)
        assert awake.claim([queue], 1) == []

    def test_a_claim_that_fails_half_way_keeps_nothing_back(
        self, stores: OpenStore, queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = stores()
        self.put(store, queue, *"abc")
        take = store.keys.take

        def break_off(name: str, messages: Sequence[Stored]) -> list[bool]:
            take(name, messages[:2])
            raise ServerError("no leader")

        with monkeypatch.context() as patch:
            patch.setattr(store.keys, "take", break_off)
            with pytest.raises(RecoverableConnectionError, match="no leader"):
                store.claim([queue], 3)
        claims = self.claim(store, queue, 3)
        assert bodies(claims) == list("abc")
        store.settle(acks=claims)
        store.close()
        assert stores().claim([queue], 3) == []

    def test_a_record_whose_answer_was_lost_gives_nothing_back_later(
        self, stores: OpenStore, queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = stores()
        self.put(store, queue, "a")
        swap = store.keys.swap

        def lose_answer(key: str, value: str, version: int) -> int:
            swap(key, value, version)
            raise ServerError("out of time")

        with monkeypatch.context() as patch:
            patch.setattr(store.keys, "swap", lose_answer)
            with pytest.raises(RecoverableConnectionError, match="out of time"):
                store.claim([queue], 1)
        store.settle(acks=self.claim(store, queue, 1))
        store.close()
        assert stores().claim([queue], 1) == []

    def test_what_was_claimed_before_an_error_is_handed_out(
        self, stores: OpenStore, queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = stores()
        self.put(store, queue, "a")

        def fail(folder: str) -> Listing:
            if folder == store.keys.queue_folder("other"):
                raise ServerError("no leader")
            return found(folder)

        found = store.keys.list
        assert store.claim([], 1) == []
        monkeypatch.setattr(store.keys, "list", fail)
        assert bodies(store.claim([queue, "other"], 2)) == ["a"]
        with pytest.raises(RecoverableConnectionError, match="no leader"):
            store.claim(["other"], 1)

    def test_a_message_too_large_is_named(self, stores: OpenStore, queue: str) -> None:
        store = stores()
        limit = store.keys.longest_value
        with pytest.raises(MessageTooLarge, match=str(limit)):
            store.put([Put(queue, envelope("x" * (limit + 1)))])

    def test_the_largest_message_goes_there_and_back(self, store: Store, queue: str) -> None:
        assert isinstance(store, KeyValueStore)
        text = "x" * (store.keys.longest_value - 500)
        self.put(store, queue, text, "small")
        claims = self.claim(store, queue, 2)
        store.settle(releases=claims)
        assert bodies(self.claim(store, queue, 2)) == [text, "small"]

    def test_a_foreign_value_is_set_aside(self, stores: OpenStore, queue: str) -> None:
        store = stores()
        before = len(store.keys.list(f"{HOME}/quarantine").stored)
        store.keys.write(f"{store.keys.queue_folder(queue)}/0", "{")
        self.put(store, queue, "ours")
        assert bodies(self.claim(store, queue, 1)) == ["ours"]
        assert len(store.keys.list(f"{HOME}/quarantine").stored) == before + 1
        assert store.size(queue) == 0

    @pytest.mark.parametrize("name", ["", ".", "..", ".kombu", ".kombu/x", "a//b", "a/../b"])
    def test_a_name_that_no_key_can_have_is_refused(self, store: Store, name: str) -> None:
        with pytest.raises(ValueError, match="can't be part of a key"):
            store.exists(name)
