"""A waiting owner whose connections are cut at any moment hears of the next message."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from amqp.exceptions import RecoverableConnectionError
from redis.connection import AbstractConnection

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.asynchronous import Hub
from kombu.testing.conformance.store import envelope
from kombu.transport.redis.link import pack
from kombu.transport.redis.store import RedisStore
from kombu.transport.virtual.store import Put
from t.integration.redis.servers import RedisServer

OpenStore = Callable[..., RedisStore]

#: CLIENT KILL's words for who is cut.
CUTS = {
    "both": (b"normal", b"pubsub"),
    "commands": (b"normal",),
    "listener": (b"pubsub",),
}

#: Seconds; the registration is made anew after 25.
SOON = 5.0


class Admin:
    """Commands over a socket of our own, which redis-py knows nothing of."""

    def __init__(self, server: RedisServer) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), 5)
        self._lock = threading.Lock()

    def __call__(self, *words: bytes) -> bytes:
        with self._lock:
            self._socket.sendall(pack(words))
            return self._socket.recv(4096)

    def cut(self, kinds: tuple[bytes, ...]) -> None:
        for kind in kinds:
            self(b"CLIENT", b"KILL", b"TYPE", kind, b"SKIPME", b"yes")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def admin(server: RedisServer) -> Iterator[Admin]:
    admin = Admin(server)
    yield admin
    admin.close()


class Commands:
    """Counts what redis-py sends, and calls ``then`` just before or after the ``at``th."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent = 0
        self.at = 0
        self.then: Callable[[], None] = lambda: None
        self.last = time.monotonic()
        send = AbstractConnection.send_packed_command

        def counted(connection: Any, *args: Any, **kwargs: Any) -> Any:
            self.sent += 1
            self.last = time.monotonic()
            if self.sent == -self.at:
                self.then()
            done = send(connection, *args, **kwargs)
            if self.sent == self.at:
                self.then()
            return done

        monkeypatch.setattr(AbstractConnection, "send_packed_command", counted)

    def quiet(self) -> bool:
        return time.monotonic() - self.last > 0.2


class Waiting:
    """Waits and claims in a thread, as a drain loop does, until there is a message."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store
        self.claimed: list[Any] = []
        self.error: BaseException | None = None
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        end = time.monotonic() + 20
        try:
            while not self.claimed and time.monotonic() < end:
                try:
                    self.claimed = self.store.claim(["q"], 1)
                    if not self.claimed:
                        self.store.wait(["q"], end - time.monotonic())
                except RecoverableConnectionError:
                    continue  # a consumer would connect again
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.error = error
        self.done.set()


def wait_for(condition: Callable[[], bool], seconds: float = SOON) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("kinds", "streams"),
    [*((kinds, False) for kinds in CUTS.values()), (CUTS["both"], True)],
    ids=[*CUTS, "both-streams"],
)
def test_a_cut_at_any_command_does_not_deafen(
    open_store: OpenStore,
    client: redis.Redis,
    admin: Admin,
    monkeypatch: pytest.MonkeyPatch,
    kinds: tuple[bytes, ...],
    when: str,
    streams: bool,
) -> None:
    commands = Commands(monkeypatch)
    item = json.dumps(envelope("a")).encode()
    push = [b"XADD", b"_kombu.stream.q", b"*", b"m", item] if streams else [b"LPUSH", b"q", item]
    deaf: list[int] = []
    for number in range(1, 30):
        client.flushall()
        # The reply of a claim may be what is cut off: its message returns within the lease.
        store = open_store(streams=streams, lease=2)
        store.claim(["q"], 1)
        fired = threading.Event()

        def cut(fired: threading.Event = fired) -> None:
            admin.cut(kinds)
            fired.set()

        commands.then, commands.sent = cut, 0
        commands.at = -number if when == "before" else number
        waiting = Waiting(store)
        # asleep, or at an end
        assert wait_for(commands.quiet, 10)
        assert waiting.error is None, f"cut at command {number}: {waiting.error!r}"
        admin(*push)
        heard = waiting.done.wait(SOON)
        assert waiting.error is None, f"cut at command {number}: {waiting.error!r}"
        if not heard:
            deaf.append(number)
            store.interrupt()
        waiting.thread.join(10)
        store.close()
        if not fired.is_set():
            break
    else:
        pytest.fail("the number of commands has no end")
    assert number > 4
    assert deaf == []


@pytest.mark.parametrize("kinds", CUTS.values(), ids=CUTS)
def test_a_cut_while_asleep_does_not_deafen(
    open_store: OpenStore, admin: Admin, monkeypatch: pytest.MonkeyPatch, kinds: tuple[bytes, ...]
) -> None:
    commands = Commands(monkeypatch)
    waiting = Waiting(open_store())
    assert wait_for(lambda: commands.sent > 3 and commands.quiet())
    admin.cut(kinds)
    assert wait_for(commands.quiet)
    admin(b"LPUSH", b"q", json.dumps(envelope("a")).encode())
    assert waiting.done.wait(SOON)
    assert waiting.error is None


@pytest.mark.parametrize("streams", [False, True], ids=["lists", "streams"])
def test_a_crowd_of_dead_owners_does_not_stand_in_the_way(
    open_store: OpenStore, client: redis.Redis, streams: bool
) -> None:
    watching = open_store(streams=streams)
    assert watching.claim(["q"], 1) == []
    assert not watching.wait(["q"], 0.05)
    waiting = Waiting(open_store(streams=streams))
    assert wait_for(lambda: client.zcard("_kombu.idle.q") == 1)
    client.zadd("_kombu.idle.q", {f"dead{number}": number for number in range(100)})
    watching.put([Put("q", envelope("a")), Put("q", envelope("b"))])
    assert len(watching.claim(["q"], 1)) == 1
    assert waiting.done.wait(SOON / 2)


@pytest.mark.parametrize("streams", [False, True], ids=["lists", "streams"])
def test_owners_that_did_not_show_up_for_long_are_struck_off(
    open_store: OpenStore, client: redis.Redis, streams: bool
) -> None:
    client.zadd("_kombu.idle.q", {"dead": time.time() - 3600, "living": time.time() - 30})
    for store in (open_store(streams=streams), open_store(streams=streams)):
        assert store.claim(["q"], 1) == []
        assert not store.wait(["q"], 0.02)
    assert client.zscore("_kombu.idle.q", "dead") is None
    assert client.zscore("_kombu.idle.q", "living") is not None


def test_who_waits_for_nothing_watches_nothing(open_store: OpenStore, client: redis.Redis) -> None:
    watching = open_store()
    assert not watching.wait(["q"], 0.05)
    waiting = Waiting(open_store())
    assert wait_for(lambda: client.zcard("_kombu.idle.q") == 1)
    # As a drain does whose consumers have no credit, or are cancelled.
    assert not watching.wait([], 0.01)
    client.lpush("q", json.dumps(envelope("a")))
    assert waiting.done.wait(SOON / 2)


@pytest.mark.parametrize("options", [{}, {"waking": False}], ids=["woken", "polling"])
def test_a_fanout_queue_is_heard_of_again_after_a_cut(
    server: RedisServer, admin: Admin, options: dict[str, Any]
) -> None:
    exchange = Exchange("all", "fanout")
    got: list[Any] = []
    with (
        Connection(server.url, transport_options=options) as connection,
        Connection(server.url) as other,
        Consumer(connection.channel(), [Queue("f", exchange)], on_message=got.append),
    ):
        producer = Producer(other.channel(), exchange)
        for _ in range(3):
            admin.cut(CUTS["listener"])
            del got[:]
            end = time.monotonic() + SOON
            while not got and time.monotonic() < end:
                producer.publish("x")
                with contextlib.suppress(TimeoutError, RecoverableConnectionError):
                    connection.drain_events(timeout=0.1)
            assert got


@pytest.mark.parametrize("rule", ["-client", "-client|id", "-client|tracking"])
def test_a_server_that_announces_nothing_is_asked_instead(
    server: RedisServer, client: redis.Redis, rule: str
) -> None:
    client.execute_command("ACL", "SETUSER", "weak", "on", ">pw", "~*", "&*", "+@all", rule)
    exchange, got = Exchange("all", "fanout"), []
    queues = [Queue("f", exchange), Queue("q", Exchange("e"), "k")]
    with Connection(server.url.replace("//", "//weak:pw@")) as connection:
        # Before anything else has found out.
        connection.default_channel.connection.fanout.subscribe("all", "f", "")
        with Consumer(connection.channel(), queues, on_message=got.append):
            producer = Producer(connection.channel())
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.1)
            producer.publish(1, exchange="e", routing_key="k")
            producer.publish(2, exchange="all")
            for _ in range(2):
                connection.drain_events(timeout=SOON)
    assert sorted(message.payload for message in got) == [1, 2]
    client.execute_command("ACL", "DELUSER", "weak")


def test_what_is_renewed_less_often_than_peers_are_patient_is_not_looked_at_all_the_time(
    open_store: OpenStore, client: redis.Redis
) -> None:
    holder = open_store(lease=60, visibility_timeout=0.2)
    holder.put([Put("q", envelope("a"))])
    assert len(holder.claim(["q"], 1)) == 1
    time.sleep(0.3)
    client.config_resetstat()
    assert not open_store(lease=60, visibility_timeout=0.2).wait(["r"], 0.5)
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] < 6


def test_a_forked_child_is_not_taken_for_its_parent(
    open_store: OpenStore, client: redis.Redis
) -> None:
    store = open_store()
    assert not store.wait(["q"], 0.05)
    (parents,) = client.pubsub_channels("_kombu.wake.*")
    child = os.fork()
    if not child:
        store.wait(["r"], 10)
        os._exit(0)
    try:
        assert wait_for(lambda: len(client.pubsub_channels("_kombu.wake.*")) == 2)
        assert client.pubsub_numsub(parents) == [(parents, 1)]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_queues_that_are_gone_are_not_looked_after(
    server: RedisServer, client: redis.Redis
) -> None:
    # As in a cluster, where each queue has books of its own.
    options = {"cluster_tags": True, "lease": 0.3}
    with Connection(server.url, transport_options=options) as connection:
        channel = connection.channel()
        for number in range(20):
            queue = Queue(f"reply{number}")(channel)
            queue.declare()
            queue.get()
            queue.delete()
        client.config_resetstat()
        connection.transport.store.wait(["q"], 0.7)
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] < 20


class Loop:
    """A connection driven by an event loop, as Celery drives its own."""

    def __init__(self, url: str, handle: Callable[[Any], None]) -> None:
        self.connection = Connection(url)
        channel = self.connection.channel()
        self.consumer = Consumer(channel, [Queue("q")], on_message=handle)
        self.consumer.consume()
        self.hub = Hub()
        self.connection.transport.register_with_event_loop(self.connection.connection, self.hub)
        self.hub.call_repeatedly(0.05, lambda: None)
        self._steps = self.hub.create_loop()

    def run(self, until: Callable[[], bool], seconds: float = SOON) -> bool:
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            try:
                next(self._steps)
            except RecoverableConnectionError:
                self._steps = self.hub.create_loop()  # a worker would connect again
        return until()

    def close(self) -> None:
        self.connection.transport.unregister_from_event_loop(self.connection.connection, self.hub)
        self.hub.close()
        self.connection.release()


@pytest.mark.parametrize("kinds", CUTS.values(), ids=CUTS)
def test_an_event_loop_is_woken_after_a_cut(
    server: RedisServer, admin: Admin, kinds: tuple[bytes, ...]
) -> None:
    got: list[Any] = []
    exchange = Exchange("elsewhere", "direct")

    def handle(message: Any) -> None:
        # Looks up bindings, for which the listener is opened again when it was lost.
        Producer(message.channel, exchange).publish("x", routing_key="k", declare=[exchange])
        got.append(message.payload)
        message.ack()

    loop = Loop(server.url, handle)
    with Connection(server.url) as other:
        producer = Producer(other.channel())
        for number in range(3):
            for each in range(3):
                producer.publish((number, each), routing_key="q")
                begin = time.monotonic()
                count = len(got)
                assert loop.run(lambda count=count: len(got) > count)
                # Housekeeping, which notices what is lost, comes once a second.
                assert time.monotonic() - begin < 2.0
                # until it is armed again
                loop.run(lambda: False, 0.2)
            admin.cut(kinds)
    loop.close()


def test_an_idle_event_loop_sends_next_to_nothing(server: RedisServer, client: redis.Redis) -> None:
    loop = Loop(server.url, print)
    loop.run(lambda: False, 1)
    client.config_resetstat()
    loop.run(lambda: False, 4)
    calls = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
    loop.close()
    # One registration in 25 seconds, and perhaps a look at what others hold.
    assert calls <= 4
