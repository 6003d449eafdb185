"""Any transport held against the in-memory broker, by random sequences of verbs.

Needs hypothesis. A transport's test module says::

    from kombu.testing.conformance.model import agrees_with_memory

    def test_model():
        agrees_with_memory(lambda: Harness("example://localhost"))
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from kombu.testing.conformance.harness import Harness

QUEUES = ("a", "b", "c")
KEYS = ("k", "l", "k.l")
PATTERNS = ("k", "#", "*.l", "k.#")
KINDS = ("direct", "topic", "fanout")


class _Side:
    """One of the two brokers, with names that fit it."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.connection = harness.connection()
        self.channel = self.connection.channel()
        self._names: dict[str, str] = {}
        self._exchanges: dict[str, Any] = {}

    def name(self, name: str) -> str:
        if name not in self._names:
            self._names[name] = self.harness.name(name)
            self.harness.named_queue(self._names[name])
        return self._names[name]

    def queue(self, name: str) -> Any:
        return self.harness.named_queue(self.name(name))(self.channel)

    def declare_exchange(self, kind: str) -> None:
        self._exchanges[kind] = self.harness.exchange(self.channel, kind)

    def exchange(self, kind: str) -> Any:
        return self._exchanges[kind]

    def size(self, name: str) -> int:
        """Ready messages."""
        return self.harness.size(self.queue(name))


class BrokerModel(RuleBasedStateMachine):
    """Declare, bind, publish, get, settle, purge, delete: both sides must agree on all of it.

    Which queues exist is tracked here, so that no rule runs into an error of the channel,
    which in AMQP would close it.
    """

    open_harness: Callable[[], Harness]
    kinds: Collection[str] = KINDS
    messages = Bundle("messages")

    def __init__(self) -> None:
        super().__init__()
        self.sides = (_Side(Harness("memory://")), _Side(type(self).open_harness()))
        self.queues: set[str] = set()
        self.held: dict[int, tuple[Any, Any]] = {}
        self.published = 0

    @initialize()
    def declare_exchanges(self) -> None:
        for side in self.sides:
            for kind in KINDS:
                side.declare_exchange(kind)
        for name in QUEUES[:2]:
            self.declare(name)
            self.bind(name, "topic", "#")

    def both(self, action: Callable[[_Side], Any]) -> Any:
        """Do it on both sides; they must return the same."""
        expected, actual = (action(side) for side in self.sides)
        assert actual == expected, f"memory: {expected!r}, under test: {actual!r}"
        return expected

    @rule(name=st.sampled_from(QUEUES))
    def declare(self, name: str) -> None:
        for side in self.sides:
            side.queue(name).queue_declare()
        self.queues.add(name)

    @rule(name=st.sampled_from(QUEUES), kind=st.sampled_from(KINDS), key=st.sampled_from(PATTERNS))
    def bind(self, name: str, kind: str, key: str) -> None:
        if name in self.queues and kind in self.kinds:
            key = "" if kind == "fanout" else key
            for side in self.sides:
                side.queue(name).bind_to(side.exchange(kind), key)

    @rule(name=st.sampled_from(QUEUES), kind=st.sampled_from(KINDS), key=st.sampled_from(PATTERNS))
    def unbind(self, name: str, kind: str, key: str) -> None:
        if name in self.queues and kind in self.kinds:
            key = "" if kind == "fanout" else key
            for side in self.sides:
                side.queue(name).unbind_from(side.exchange(kind), key)

    @rule(kind=st.sampled_from(KINDS), key=st.sampled_from(KEYS))
    def publish(self, kind: str, key: str) -> None:
        if kind not in self.kinds:
            return
        self.published += 1
        key = "" if kind == "fanout" else key
        for side in self.sides:
            side.channel.Producer(side.exchange(kind)).publish(self.published, routing_key=key)

    @rule(name=st.sampled_from(QUEUES))
    def publish_to_queue(self, name: str) -> None:
        if name in self.queues:
            self.published += 1
            for side in self.sides:
                side.harness.put(side.channel, side.queue(name), self.published)

    @rule(target=messages, name=st.sampled_from(QUEUES))
    def get(self, name: str) -> int:
        """The next message of a queue, on both sides the same; 0: there was none."""
        if name not in self.queues:
            return 0
        expected = self.sides[0].queue(name).get()
        under_test = self.sides[1]
        if expected is None:
            assert under_test.queue(name).get() is None
            return 0
        actual = under_test.harness.get(under_test.queue(name))
        assert (actual.payload, bool(actual.delivery_info.get("redelivered"))) == (
            expected.payload,
            bool(expected.delivery_info.get("redelivered")),
        )
        handle = max(self.held, default=0) + 1
        self.held[handle] = (expected, actual)
        return handle

    @rule(handle=consumes(messages), verb=st.sampled_from(["ack", "reject", "requeue"]))
    def settle(self, handle: int, verb: str) -> None:
        for message in self.held.pop(handle, ()):
            getattr(message, verb)()

    @rule(name=st.sampled_from(QUEUES))
    def purge(self, name: str) -> None:
        if name in self.queues:
            self.settled_sizes()
            self.both(lambda side: side.queue(name).purge())

    @rule(name=st.sampled_from(QUEUES))
    def delete(self, name: str) -> None:
        if name in self.queues and not self.held:
            for side in self.sides:
                side.queue(name).delete()
            self.queues.discard(name)

    @invariant()
    def settled_sizes(self) -> None:
        for name in sorted(self.queues):
            expected = self.sides[0].size(name)
            under_test = self.sides[1]
            under_test.harness.has_size(under_test.queue(name), expected)

    def teardown(self) -> None:
        for side in self.sides:
            side.harness.close()


def agrees_with_memory(
    open_harness: Callable[[], Harness],
    examples: int = 15,
    steps: int = 30,
    kinds: Collection[str] = KINDS,
) -> None:
    """Run the machine; raises AssertionError with the steps that led to a difference.

    Arguments:
        open_harness: returns a new harness of the transport under test.
        examples: number of sequences.
        steps: verbs in each, at most.
        kinds: exchange types that keep messages for queues without a consumer, as AMQP has
            it; fanout by publish/subscribe does not.
    """

    class Machine(BrokerModel):
        pass

    Machine.open_harness = staticmethod(open_harness)
    Machine.kinds = kinds
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            # Shrinking on a real broker would take longer than the test's time limit.
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
