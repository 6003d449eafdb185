"""The store on lists against a real server."""

from __future__ import annotations

import base64
import json
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import redis
from amqp.exceptions import ChannelError

from kombu.testing.conformance.store import StoreContract, bodies, envelope
from kombu.transport.redis.store import RedisStore
from kombu.transport.virtual.store import PartialPutError, Put, QueueFull, QueueSpec
from t.integration.redis.servers import RedisServer

OpenStore = Callable[..., RedisStore]


class TestRedisStore(StoreContract):
    @pytest.fixture(
        params=[
            {},
            {"global_keyprefix": "p_"},
            {"priority_steps": [0]},
            {"waking": False},
            {"streams": True},
            {"streams": True, "waking": False},
        ],
        ids=["plain", "prefix", "one-step", "polling", "streams", "streams-polling"],
    )
    def open_store(self, request: pytest.FixtureRequest, open_store: OpenStore) -> OpenStore:
        def open_one(**options: Any) -> RedisStore:
            return open_store(**{**request.param, **options})

        return open_one

    def test_higher_priority_first_then_age(self, store: Any, queue: str) -> None:
        if len(store._keys.steps) == 1:
            pytest.skip("one list has no priorities")
        super().test_higher_priority_first_then_age(store, queue)

    def test_a_batch_keeps_its_order_within_a_step(self, store: Any, queue: str) -> None:
        store.declare(QueueSpec(queue))
        # 0 to 2 are one step of four; the large one does not fit into a command with others.
        texts = ["a", "b", "c" * 150_000, "d", "e", "f"]
        store.put([Put(queue, envelope(text), at % 3) for at, text in enumerate(texts)])
        assert bodies(store.claim([queue], 6)) == texts

    def test_a_dead_owners_messages_return_in_order(
        self, open_store: OpenStore, queue: str
    ) -> None:
        dead, living = open_store(lease=0.4), open_store(lease=0.4)
        self.put(dead, queue, *"abcdef")
        assert len(dead.claim([queue], 2) + dead.claim([queue], 2)) == 4
        deadline = time.monotonic() + 5
        while living.size(queue) < 6 and time.monotonic() < deadline:
            living.wait([queue], 0.1)
        again = living.claim([queue], 6)
        assert bodies(again) == ["a", "b", "c", "d", "e", "f"]
        assert [claim.redelivered for claim in again] == [True] * 4 + [False] * 2
        assert [claim.deliveries for claim in again] == [1] * 4 + [0] * 2

    def test_a_renewed_lease_keeps_its_message(self, open_store: OpenStore, queue: str) -> None:
        owner, other = open_store(lease=0.4), open_store(lease=0.4)
        self.put(owner, queue, "a")
        claims = owner.claim([queue], 1)
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            owner.renew(claims)
            other.wait([queue], 0.1)
            assert other.claim([queue], 1) == []

    def test_an_old_receipt_of_a_lost_lease_settles_nothing(
        self, open_store: OpenStore, queue: str
    ) -> None:
        slow, other = open_store(lease=0.2), open_store(lease=30)
        self.put(slow, queue, "a")
        old = slow.claim([queue], 1)
        (new,) = self.claim(other, queue, 1)
        slow.settle(acks=old)
        slow.renew(old)
        slow.settle(releases=old)
        other.settle(releases=[new])
        assert bodies(self.claim(other, queue, 1)) == ["a"]

    def test_two_copies_with_one_delivery_tag_are_two_holdings(
        self, stores: OpenStore, queue: str
    ) -> None:
        store = stores()
        copy = envelope("a")
        store.put([Put(queue, copy), Put(queue, copy)])
        first, second = store.claim([queue], 2)
        store.settle(acks=[first])
        store.settle(releases=[second])
        assert len(self.claim(store, queue, 1)) == 1

    def test_what_is_ready_at_one_moment_keeps_its_order(
        self, stores: OpenStore, queue: str
    ) -> None:
        store, at = stores(), time.time() + 0.05
        texts = [str(number) for number in range(20)]
        store.put([Put(queue, envelope(text), ready_at=at) for text in texts])
        assert bodies(self.claim(store, queue, 20)) == texts

    def test_a_delayed_message_keeps_its_priority_and_wakes(
        self, stores: OpenStore, queue: str
    ) -> None:
        store = stores()
        store.put([Put(queue, envelope("later"), ready_at=time.time() + 0.3)])
        started = time.monotonic()
        assert bodies(self.claim(store, queue, 1)) == ["later"]
        assert 0.25 < time.monotonic() - started < 2


@pytest.mark.parametrize("queue", ["a\nb", "\n", "ü\n", "a\x06\x163", "a b:{c}", "\ud800"])
def test_a_message_returns_to_its_queue_whatever_that_is_called(
    open_store: OpenStore, queue: str
) -> None:
    store, dead = open_store(), open_store(lease=0.1)
    store.put([Put(queue, envelope("a"), 9)])
    store.settle(releases=store.claim([queue], 1))
    assert store.size(queue) == 1
    dead.claim([queue], 1)
    deadline = time.monotonic() + 5
    while not (again := open_store().claim([queue], 1)):
        assert time.monotonic() < deadline
    assert bodies(again) == ["a"]


def test_thousands_are_settled_in_portions_and_keep_their_order(
    open_store: OpenStore, client: redis.Redis
) -> None:
    store = open_store()
    texts = [str(number) for number in range(2500)]
    store.put([Put("q", envelope(text)) for text in texts])
    claims = store.claim(["q"], 3000)
    client.config_resetstat()
    store.renew(claims)
    # No script keeps the server from others for long.
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] >= 3
    store.settle(releases=claims[:1500])
    for claim in claims[1500:1510]:
        store.settle(releases=[claim])
    store.settle(acks=claims[1510:])
    assert bodies(store.claim(["q"], 3000)) == texts[:1510]
    assert client.hlen("unacked") == client.zcard("_kombu.leases") == 1510


def test_what_returns_one_by_one_is_put_in_order(open_store: OpenStore) -> None:
    store = open_store()
    store.put([Put("q", envelope(str(number))) for number in range(60)])
    claims = store.claim(["q"], 50)
    for claim in random.Random(1).sample(claims, 50):
        store.settle(releases=[claim])
    again = store.claim(["q"], 60)
    assert bodies(again) == [str(number) for number in range(60)]


@pytest.mark.parametrize("body", ["", "plain", 'quo"ted \\', "\u00fc\u20ac", "AAA=", '"body": "x"'])
@pytest.mark.parametrize("encoding", ["utf-8", "base64"])
@pytest.mark.parametrize("streams", [False, True], ids=["lists", "streams"])
def test_bytes_are_those_of_the_body(
    open_store: OpenStore, body: str, encoding: str, streams: bool
) -> None:
    message = envelope(body)
    message["properties"]["body_encoding"] = encoding
    if encoding == "base64":
        message["body"] = base64.b64encode(body.encode()).decode()
    store = open_store(streams=streams)
    arguments = {"x-max-length-bytes": 2 * len(body.encode()), "x-overflow": "reject-publish"}
    if not body:
        arguments["x-max-length"] = 2
    store.declare(QueueSpec("q", arguments=arguments))
    store.put([Put("q", message)] * 2)
    with pytest.raises(QueueFull):
        store.put([Put("q", message)])


def test_what_stands_under_the_published_keys(open_store: OpenStore, client: redis.Redis) -> None:
    store = open_store()
    message = envelope("a")
    store.put([Put("wire", message, 7)])
    (stored,) = client.lrange("wire\x06\x166", 0, -1)
    assert stored.decode() == json.dumps(message)
    before = time.time()
    (claim,) = store.claim(["wire"], 1)
    tag = message["properties"]["delivery_tag"]
    assert client.hkeys("unacked") == [tag.encode()]
    assert json.loads(client.hget("unacked", tag)) == [message, "", "key"]
    assert client.hget("unacked", tag).startswith(b"[" + stored + b", ")
    assert before - 1 < client.zscore("unacked_index", tag) < time.time() + 1
    store.settle(acks=[claim])
    assert client.keys("*") == []


def test_a_renewal_moves_the_score_that_published_peers_read(
    open_store: OpenStore, client: redis.Redis
) -> None:
    store = open_store()
    message = envelope("a")
    store.put([Put("q", message)])
    claims = store.claim(["q"], 1)
    tag = message["properties"]["delivery_tag"]
    before = client.zscore("unacked_index", tag)
    store.renew(claims)
    assert client.zscore("unacked_index", tag) > before


def test_a_published_peers_claim_is_restored_after_its_timeout(
    open_store: OpenStore, client: redis.Redis
) -> None:
    message = envelope("peer")
    client.hset("unacked", "tag", json.dumps([message, "", "q"]))
    client.zadd("unacked_index", {"tag": time.time() - 100})
    patient = open_store()
    assert patient.claim(["q"], 1) == []
    hasty = open_store(visibility_timeout=50)
    (claim,) = hasty.claim(["q"], 1)
    assert claim.redelivered
    assert claim.message["headers"] == {"redelivered": True}
    assert claim.message["properties"]["delivery_info"]["redelivered"] is True


def test_a_peer_that_restored_and_took_our_message_keeps_it(
    open_store: OpenStore, client: redis.Redis
) -> None:
    store = open_store()
    message = envelope("a")
    store.put([Put("q", message)])
    claims = store.claim(["q"], 1)
    tag = message["properties"]["delivery_tag"]
    # what a published peer does: restore, pop, record under the same tag
    client.zadd("unacked_index", {tag: time.time() + 0.5})
    store.settle(acks=claims)
    assert client.hkeys("unacked") == [tag.encode()]
    assert client.hlen("_kombu.holdings") == 0


@pytest.mark.parametrize("value", [b"no json", b"[1, 2]", b'{"a": 1}', b'{"broken', b"\xff\xfe"])
def test_a_foreign_value_is_set_aside_and_logged(
    open_store: OpenStore, client: redis.Redis, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store()
    store.put([Put("q", envelope("a"))])
    client.rpush("q", value)
    with caplog.at_level(logging.ERROR):
        assert bodies(store.claim(["q"], 5)) == ["a"]
    assert client.lrange("_kombu.quarantine.q", 0, -1) == [value]
    assert "not a message" in caplog.text
    assert store.claim(["q"], 5) == []


def test_lone_surrogates_are_no_reason_to_set_a_message_aside(open_store: OpenStore) -> None:
    store = open_store()
    message = envelope("a\ud800")
    store.put([Put("q", message)])
    (claim,) = store.claim(["q"], 1)
    assert claim.message == message


def test_a_key_of_another_type_is_a_clear_error(open_store: OpenStore, client: redis.Redis) -> None:
    store = open_store()
    client.set("other", "mine")
    with pytest.raises(ChannelError, match="other"):
        store.claim(["other"], 1)
    with pytest.raises(ChannelError, match="other"):
        store.put([Put("other", envelope("a"))])
    with pytest.raises(PartialPutError) as caught:
        store.put([Put("q", envelope("a")), Put("other", envelope("b"))])
    assert list(caught.value.failed) == [1]
    assert bodies(store.claim(["other", "q"], 5)) == ["a"]
    assert client.get("other") == b"mine"


def test_ack_emulation_off_is_a_plain_pop(open_store: OpenStore, client: redis.Redis) -> None:
    store = open_store(ack_emulation=False)
    store.put([Put("q", envelope("a")), Put("q", envelope("b"), 9)])
    claims = store.claim(["q"], 5)
    assert client.keys("*") == []
    store.settle(releases=claims)
    assert client.llen("q") == 1
    assert client.llen("q\x06\x169") == 1


def test_two_that_restore_a_peers_message_put_it_into_each_queue_once(
    open_store: OpenStore, client: redis.Redis
) -> None:
    client.hset("unacked", "tag", json.dumps([envelope("peer"), "ex", "k"]))
    client.zadd("unacked_index", {"tag": time.time() - 100})
    one, other = open_store(visibility_timeout=50), open_store(visibility_timeout=50)
    other.use_router(lambda exchange, routing_key, headers: ("q", "r"))

    def overtaken(exchange: str, routing_key: str, headers: Any) -> Sequence[str]:
        other.sweep_if_due()
        return ("q", "r")

    one.use_router(overtaken)
    one.sweep_if_due()
    assert (client.llen("q"), client.llen("r")) == (1, 1)


@pytest.mark.parametrize("owner", ["ours", "peer"])
def test_what_can_not_be_put_back_is_set_aside_and_stops_no_other_queue(
    open_store: OpenStore, client: redis.Redis, owner: str
) -> None:
    if owner == "ours":
        dead = open_store(lease=0.1)
        dead.put([Put("a\nb", envelope("a"))])
        dead.claim(["a\nb"], 1)
    else:
        client.hset("unacked", "tag", json.dumps([envelope("a"), "", "a\nb"]))
        client.zadd("unacked_index", {"tag": time.time() - 100})
    client.set("a\nb", "foreign")
    living = open_store(lease=0.2, visibility_timeout=50)
    living.put([Put("b", envelope(text)) for text in "bcd"])
    deadline = time.monotonic() + 5
    while not client.exists("_kombu.quarantine.a\nb"):
        living.settle(acks=living.claim(["b"], 1))
        assert time.monotonic() < deadline
    assert json.loads(client.lindex("_kombu.quarantine.a\nb", 0))[0]["body"] == "a"
    assert client.keys("unacked*") == []


def test_a_damaged_record_of_a_holding_counts_as_a_peers(
    open_store: OpenStore, client: redis.Redis
) -> None:
    dead = open_store(lease=0.05)
    dead.put([Put("q", envelope("a"))])
    tag = dead.claim(["q"], 1)[0].field
    client.hset("_kombu.holdings", tag, "x")
    client.zadd("_kombu.leases", {tag: 1})
    client.zadd("unacked_index", {tag: 1})
    living = open_store(visibility_timeout=50)
    living.put([Put("b", envelope("b"))])
    assert bodies(living.claim(["b"], 1)) == ["b"]
    # The envelope's routing key is all that is known of where it belongs.
    assert bodies(living.claim(["key"], 1)) == ["a"]


def test_x_expires_reaches_all_keys_of_the_queue(
    open_store: OpenStore, client: redis.Redis
) -> None:
    store = open_store()
    store.declare(QueueSpec("q", arguments={"x-expires": 30000}))
    store.put([Put("q", envelope("a"))])
    assert 0 < client.pttl("q") <= 30000
    store.claim(["q"], 1)
    store.declare(QueueSpec("gone", arguments={"x-expires": 50}))
    deadline = time.monotonic() + 5
    while store.exists("gone"):
        assert time.monotonic() < deadline


def test_priorities_across_queues(open_store: OpenStore) -> None:
    store = open_store()
    for queue in ("a", "b"):
        store.put([Put(queue, envelope(f"{queue}{n}"), n) for n in (9, 0, 3)])
    assert bodies(store.claim(["a", "b"], 4)) == ["a0", "b0", "a3", "b3"]
    assert bodies(store.claim(["b", "a"], 4)) == ["b9", "a9"]


def test_reject_publish_refuses_what_is_too_much(open_store: OpenStore) -> None:
    store = open_store()
    store.declare(QueueSpec("q", arguments={"x-max-length": 2, "x-overflow": "reject-publish"}))
    store.put([Put("q", envelope("a")), Put("q", envelope("b"))])
    with pytest.raises(QueueFull):
        store.put([Put("q", envelope("c"))])
    assert bodies(store.claim(["q"], 5)) == ["a", "b"]


def test_what_a_bounded_queue_takes_waits_for_replicas_too(open_store: OpenStore) -> None:
    store = open_store(wait_replicas=1, wait_replicas_timeout=0.05)
    store.declare(QueueSpec("q", arguments={"x-max-length": 2, "x-overflow": "reject-publish"}))
    with pytest.raises(ChannelError, match="0 of 1 replicas"):
        store.put([Put("q", envelope("a"))])


@pytest.mark.parametrize("seconds", [0, None, 60], ids=["none", "any", "more than for a reply"])
def test_replicas_are_never_waited_for_longer_than_a_reply(
    open_store: OpenStore, client: redis.Redis, seconds: float | None
) -> None:
    store = open_store(
        timeout=1.0, socket_timeout=1.0, wait_replicas=1, wait_replicas_timeout=seconds
    )
    with pytest.raises(ChannelError, match="0 of 1 replicas"):
        store.put([Put("q", envelope("a"))])


def test_drop_head_hands_over_the_oldest(open_store: OpenStore) -> None:
    store = open_store()
    store.declare(QueueSpec("q", arguments={"x-max-length": 2}))
    store.put([Put("q", envelope(text)) for text in "abcd"])
    discards = store.sweep(10)
    assert [(each.reason, each.claim.message["body"]) for each in discards] == [
        ("maxlen", "a"),
        ("maxlen", "b"),
    ]
    store.settle(rejects=[each.claim for each in discards])
    assert store.sweep(10) == []
    assert bodies(store.claim(["q"], 5)) == ["c", "d"]


def test_an_idle_consumer_sends_next_to_nothing(
    open_store: OpenStore, server: RedisServer, client: redis.Redis
) -> None:
    store = open_store(health_check_interval=25)
    store.claim(["q"], 1)
    store.wait(["q"], 0.2)
    before = client.info("stats")["total_commands_processed"]
    store.wait(["q"], 2)
    after = client.info("stats")["total_commands_processed"]
    # the two are INFO itself and at most one more
    assert after - before <= 2


def test_one_message_wakes_two_owners_not_all(open_store: OpenStore, client: redis.Redis) -> None:
    crowd = [open_store() for _ in range(12)]
    for store in crowd:
        store.arm(["q"])
    client.config_resetstat()
    client.lpush("q", json.dumps(envelope("a")))
    claimed = 0
    for _ in range(3):
        for store in crowd:
            if store.on_readable(0):
                claimed += len(store.claim(["q"], 1))
                store.arm(["q"])
    scripts = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert claimed == 1
    assert scripts <= 8


def test_a_burst_calls_as_many_owners_as_there_are_messages(
    open_store: OpenStore, client: redis.Redis
) -> None:
    crowd = [open_store() for _ in range(6)]
    for store in crowd:
        store.arm(["q"])
    client.lpush("q", *(json.dumps(envelope(str(n))) for n in range(4)))
    claimed = 0
    deadline = time.monotonic() + 5
    while claimed < 4 and time.monotonic() < deadline:
        for store in crowd:
            if store.wait(["q"], 0):
                claimed += len(store.claim(["q"], 1))
    assert claimed == 4


def test_a_dead_sentry_is_replaced(open_store: OpenStore, client: redis.Redis) -> None:
    sentry, other = open_store(), open_store(health_check_interval=0.5)
    sentry.arm(["q"])
    other.arm(["q"])
    for node in sentry._server.nodes():
        node.listener.drop()
    client.lpush("q", json.dumps(envelope("a")))
    assert other.wait(["q"], 5)
    assert bodies(other.claim(["q"], 1)) == ["a"]


def test_messages_that_return_one_by_one_keep_their_order(open_store: OpenStore) -> None:
    store = open_store()
    store.put([Put("q", envelope(text)) for text in "abcdef"])
    claims = store.claim(["q"], 4)
    for index in (2, 0, 3, 1):
        store.settle(releases=[claims[index]])
    again = store.claim(["q"], 6)
    assert bodies(again) == list("abcdef")
    store.settle(releases=again[:1])
    store.settle(releases=again[1:2])
    assert bodies(store.claim(["q"], 2)) == ["a", "b"]
