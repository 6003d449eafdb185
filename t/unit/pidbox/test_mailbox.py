"""Commands and replies, on the in-memory transport."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from time import monotonic
from uuid import uuid4

import pytest

from kombu import Connection, Producer
from kombu.pidbox import Mailbox
from kombu.pools import producers
from kombu.utils.functional import lazy


@pytest.fixture(params=["direct", "fanout"])
def mailbox(request):
    with Connection("memory://") as connection:
        yield Mailbox(f"ns-{uuid4()}", request.param, connection)


@contextmanager
def listening(mailbox, *names):
    """Nodes, each with a connection and a thread of its own."""
    ready, stop, threads, seen = threading.Barrier(len(names) + 1), threading.Event(), [], []

    def serve(name):
        with Connection("memory://") as connection:
            node = mailbox.Node(name, channel=connection.channel())

            @node.handler
            def ping(state, **arguments):
                seen.append((name, arguments))
                return {"ok": "pong", **arguments}

            @node.handler
            def fail(state):
                raise KeyError("k")

            node.listen()
            ready.wait(10)
            while not stop.is_set():
                try:
                    connection.drain_events(timeout=0.02)
                except TimeoutError:
                    continue

    for name in names:
        threads.append(threading.Thread(target=serve, args=(name,)))
        threads[-1].start()
    ready.wait(10)
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)


class TestCalls:
    def test_one_of_two(self, mailbox):
        with listening(mailbox, "a", "b") as seen:
            assert mailbox.call(["b"], "ping", {"x": 1}, timeout=5) == [
                {"b": {"ok": "pong", "x": 1}}
            ]
        assert seen == [("b", {"x": 1})]

    def test_all(self, mailbox):
        heard = []
        with listening(mailbox, "a", "b"):
            replies = mailbox.multi_call("ping", timeout=5, limit=2, callback=heard.append)
        assert sorted(name for reply in replies for name in reply) == ["a", "b"]
        assert heard == replies

    def test_by_pattern(self, mailbox):
        with listening(mailbox, "a1", "b1"):
            replies = mailbox._broadcast(
                "ping", reply=True, timeout=5, limit=1, pattern="b*", matcher="glob"
            )
        assert replies == [{"b1": {"ok": "pong"}}]

    def test_error(self, mailbox):
        with listening(mailbox, "a"):
            assert mailbox.call(["a"], "fail", timeout=5) == [{"a": {"error": "KeyError('k')"}}]

    def test_nobody_there(self, mailbox):
        began = monotonic()
        assert mailbox.call(["nobody"], "ping", timeout=0.1) == []
        assert monotonic() - began < 3

    def test_cast_wants_no_reply(self, mailbox):
        with listening(mailbox, "a", "b") as seen:
            assert mailbox.cast(["a"], "ping", {"x": 1}) is None
            assert mailbox.abcast("ping", {"x": 2}) is None
            # In order, so that its reply says the casts were handled.
            mailbox.multi_call("ping", timeout=5, limit=2)
        assert ("a", {"x": 1}) in seen
        assert ("a", {"x": 2}) in seen
        assert ("b", {"x": 2}) in seen
        assert ("b", {"x": 1}) not in seen

    def test_again_after_the_reply_queue_went(self, mailbox):
        with listening(mailbox, "a"):
            for _ in range(2):
                assert len(mailbox.call(["a"], "ping", timeout=5)) == 1
                mailbox.get_reply_queue()(mailbox.connection.default_channel).delete()

    @pytest.mark.parametrize("wrong", ["host", {"host"}])
    def test_destination_must_be_a_list(self, mailbox, wrong):
        with pytest.raises(ValueError, match="destination"):
            mailbox.call(wrong, "ping")

    def test_threads_have_replies_of_their_own(self, mailbox):
        got = {}

        def ask(number):
            with Connection("memory://") as connection:
                got[number] = mailbox(connection).call(["a"], "ping", {"n": number}, timeout=5)

        with listening(mailbox, "a"):
            threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
        assert got == {number: [{"a": {"ok": "pong", "n": number}}] for number in range(4)}


class TestReplies:
    def reply(self, mailbox, ticket, body):
        mailbox._publish_reply(
            body, mailbox.reply_exchange.name, mailbox.oid, ticket, mailbox.connection.channel()
        )

    def collect(self, mailbox, ticket, **options):
        return mailbox._collect(ticket, **{"timeout": 0.1, **options})

    @pytest.fixture(autouse=True)
    def reply_queue(self, mailbox):
        mailbox.get_reply_queue()(mailbox.connection.default_channel).declare()

    def test_anothers_is_kept_for_it(self, mailbox):
        self.reply(mailbox, "other", 1)
        self.reply(mailbox, "mine", 2)
        assert self.collect(mailbox, "mine", limit=1, timeout=5) == [2]
        assert self.collect(mailbox, "other", limit=1) == [1]
        assert self.collect(mailbox, "other", limit=1) == []

    def test_clock_follows_replies(self, mailbox):
        mailbox.clock.value = 40
        self.reply(mailbox, "t", 1)
        before = mailbox.clock.value
        self.collect(mailbox, "t", limit=1, timeout=5)
        assert mailbox.clock.value > before

    def test_expired_is_dropped(self, mailbox):
        Producer(mailbox.connection).publish(
            {"late": 1},
            mailbox.oid,
            exchange=mailbox.reply_exchange.name,
            headers={"ticket": "t", "expires": 1},
        )
        self.reply(mailbox, "t", {"in": "time"})
        assert self.collect(mailbox, "t", limit=1, timeout=5) == [{"in": "time"}]

    def test_unclaimed_are_not_kept_for_ever(self, mailbox):
        for number in range(1500):
            mailbox.unclaimed[str(number)] = [number]
        assert len(mailbox.unclaimed) <= 1000


class TestProducers:
    def test_pool_is_used_and_asked_for_anew_after_a_fork(self):
        with Connection("memory://") as connection:
            asked = []

            def pool():
                asked.append(1)
                return producers[connection]

            mailbox = Mailbox("ns", connection=connection, producer_pool=lazy(pool))
            with mailbox.producer_or_acquire() as producer:
                assert producer.connection
            mailbox.abcast("ping")
            assert asked == [1]
            del mailbox.producer_pool
            mailbox.abcast("ping")
            assert asked == [1, 1]

    def test_given(self):
        producer = Producer(None)
        with Mailbox("ns").producer_or_acquire(producer) as used:
            assert used is producer
