"""Each fault of a server: what publishing says meanwhile, and how soon consumers go on after it.

The rows are those of the table in ``docs/transports/redis.rst``. Sentinel and cluster have
tests of their own in ``test_cluster.py``; the moments at which connections can be cut, in
``test_waking.py``.
"""

from __future__ import annotations

import dataclasses
import resource
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from amqp.exceptions import ChannelError
from amqp.exceptions import ConnectionError as AMQPConnectionError

from kombu import Connection, Consumer, Producer, Queue
from t.faults.relay import Relay
from t.integration.redis.servers import RedisServer
from t.integration.redis.test_faults import QUEUE, Worker, publish

#: For consumers and publishers alike: what waits, waits no longer than a second.
OPTIONS = {"lease": 2, "socket_timeout": 1, "socket_connect_timeout": 1, "health_check_interval": 1}


class Site:
    """A server, and the relay that its clients go through."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.relay = Relay(server.url)
        self.undo: list[Callable[[], Any]] = []

    @property
    def url(self) -> str:
        return self.relay.url

    def admin(self) -> redis.Redis:
        return self.server.client(retry=None)

    def configure(self, **options: Any) -> None:
        admin = self.admin()
        for name, value in options.items():
            name = name.replace("_", "-")
            before = admin.config_get(name)[name]
            admin.config_set(name, value)
            self.undo.append(lambda name=name, before=before: admin.config_set(name, before))


def restart(site: Site) -> None:
    site.server.stop(signal.SIGKILL)
    site.undo.append(site.server.start)


def cut(site: Site) -> None:
    for kind in ("normal", "pubsub"):
        site.admin().execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


def half_open(site: Site) -> None:
    site.relay.mute()


def freeze(site: Site) -> None:
    site.server.freeze()
    site.undo.append(site.server.thaw)


def loading(site: Site) -> None:
    """Two seconds of LOADING: a thousand keys, and time for each."""
    admin = site.admin()
    admin.mset({f"key-{number}": "x" for number in range(1000)})
    admin.bgrewriteaof()
    while admin.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.05)
    site.server.stop(signal.SIGTERM)
    site.server.configuration.write_text(
        site.server.configuration.read_text() + "key-load-delay 2000\n"
        "loading-process-events-interval-bytes 1024\n"
    )
    site.server.start(wait=False)
    while True:
        try:
            site.admin().ping()
        except redis.exceptions.BusyLoadingError:
            break
        except redis.exceptions.ConnectionError:
            time.sleep(0.01)
    site.undo.append(site.server.wait_until_ready)


def read_only(site: Site) -> None:
    site.admin().replicaof("127.0.0.1", 1)
    site.undo.append(lambda: site.admin().replicaof("NO", "ONE"))


def misconf(site: Site) -> None:
    """A dump fails, for the directory is gone: the server takes no writes."""
    admin = site.admin()
    admin.config_set("appendonly", "no")
    site.configure(save="3600 1")
    admin.set("key", "x")
    shutil.rmtree(site.server.directory)
    admin.bgsave()
    while admin.info("persistence")["rdb_last_bgsave_status"] == "ok":
        time.sleep(0.05)
    site.undo.insert(0, lambda: admin.config_set("stop-writes-on-bgsave-error", "no"))


def too_few_replicas(site: Site) -> None:
    site.configure(min_replicas_to_write=1)


def out_of_memory(site: Site) -> None:
    site.configure(maxmemory=1)


def busy(site: Site) -> None:
    """A script of somebody else that does not end."""
    site.configure(busy_reply_threshold=50)
    admin = site.admin()

    def spin() -> None:
        with pytest.raises(redis.RedisError):
            site.server.client(retry=None).eval("while true do end", 0)

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    while True:
        try:
            admin.ping()
        except redis.exceptions.ResponseError:
            break
        time.sleep(0.02)
    site.undo.insert(0, lambda: (admin.script_kill(), thread.join(5)))


def flushed_scripts(site: Site) -> None:
    site.admin().script_flush()


def flushed_data(site: Site) -> None:
    site.admin().flushall()


@dataclasses.dataclass(frozen=True)
class Fault:
    """A row.

    Arguments:
        inflict: makes it so.
        said: what a publish raises meanwhile; ``None``: it works.
        seconds: after its end, until consumers go on.
    """

    inflict: Callable[[Site], None]
    said: str | None
    seconds: float


FAULTS = [
    Fault(restart, r"(?i)refused|connect", 5),
    Fault(cut, None, 3),
    Fault(half_open, r"(?i)time", 6),
    Fault(freeze, r"(?i)time", 6),
    Fault(loading, "(?i)loading", 5),
    Fault(read_only, "(?i)read.?only", 5),
    Fault(misconf, "MISCONF", 5),
    Fault(too_few_replicas, "NOREPLICAS", 5),
    Fault(out_of_memory, "OOM|memory", 5),
    Fault(busy, "BUSY", 5),
    Fault(flushed_scripts, None, 3),
    Fault(flushed_data, None, 3),
]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    server = RedisServer(tmp_path / "own", "appendonly yes", "enable-debug-command yes").start()
    site = Site(server)
    yield site
    site.relay.stop()
    server.stop(signal.SIGKILL)


def said_by(connection: Connection, publish: Callable[[], Any]) -> BaseException | None:
    """What a publish raises, within the times that the options set."""
    begin = time.monotonic()
    try:
        publish()
    except connection.recoverable_connection_errors as error:
        return error
    finally:
        assert time.monotonic() - begin < 3
    return None


@pytest.mark.timeout(60)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.inflict.__name__)
def test_consumers_go_on_after_a_fault(site: Site, fault: Fault) -> None:
    worker = Worker(site.url, **OPTIONS)
    try:
        publish(site.url, "before")
        assert worker.has(1)
        with Connection(site.url, transport_options=OPTIONS) as connection:
            producer = Producer(connection.channel())
            producer.publish("first", routing_key="q")
            assert worker.has(2)
            fault.inflict(site)
            said = said_by(connection, lambda: producer.publish("meanwhile", routing_key="q"))
        if fault.said is None:
            # The relay may hand a cut on when the publish is under way.
            assert said is None or fault.inflict is cut
        else:
            assert said is not None
            assert said.args
            with pytest.raises(type(said), match=fault.said):
                raise said
        for undo in site.undo:
            undo()
        begin = time.monotonic()
        publish(site.url, "after")
        while "after" not in worker.got:
            assert worker.thread.is_alive()
            assert time.monotonic() - begin < fault.seconds
            time.sleep(0.01)
        print(f"{fault.inflict.__name__}: went on after {time.monotonic() - begin:.2f} s")
    finally:
        worker.close()


# ---- what is no passing fault: said, and not tried for ever


def test_a_password_set_meanwhile_is_said(site: Site) -> None:
    # Directly: the relay hands a cut on a moment later.
    with Connection(site.server.url, transport_options=OPTIONS) as connection:
        channel = connection.channel()
        Producer(channel).publish(1, routing_key="q")
        site.admin().config_set("requirepass", "secret")
        site.server.client(password="secret").execute_command(
            "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"
        )
        with pytest.raises(AMQPConnectionError, match=r"(?i)auth") as caught:
            Producer(channel).publish(2, routing_key="q")
        assert not isinstance(caught.value, connection.recoverable_connection_errors)


@pytest.mark.parametrize("missing", ["@scripting", "@hash", "@list", "evalsha"])
def test_a_missing_permission_is_said(site: Site, missing: str) -> None:
    site.admin().execute_command(
        "ACL", "SETUSER", "weak", "on", ">pw", "~*", "&*", "+@all", f"-{missing}"
    )
    url = site.url.replace("//", "//weak:pw@")
    with Connection(url, transport_options=OPTIONS) as connection:
        channel = connection.channel()
        with pytest.raises(ChannelError, match=r"(?i)perm") as caught:
            Producer(channel).publish(1, routing_key="q")
            Queue("q")(channel).get()
        assert "pw" not in str(caught.value).split()
        assert not isinstance(caught.value, connection.recoverable_connection_errors)


# ---- idle connections closed by the server, with nothing to do


@pytest.mark.parametrize("loop", [False, True], ids=["drain", "event-loop"])
def test_a_server_that_closes_idle_connections_costs_no_processor_time(
    site: Site, loop: bool
) -> None:
    site.configure(timeout=1)
    with Connection(site.server.url) as connection:
        channel = connection.channel()
        got: list[Any] = []
        with Consumer(channel, [QUEUE], on_message=got.append, prefetch_count=1):
            for number in range(2):
                Producer(channel).publish(number, routing_key="q")
            connection.drain_events(timeout=5)
            before = site.admin().info("stats")["total_commands_processed"]
            spent = _processor_time()
            _drive(connection, loop, 4)
            assert _processor_time() - spent < 0.5
            after = site.admin().info("stats")["total_commands_processed"]
            assert after - before < 80
            assert len(got) == 1
            # and the window opens again
            got.pop().ack()
            _drive(connection, loop, 3, until=lambda: bool(got))
            assert [message.payload for message in got] == [1]
            got.pop().ack()
            # closed while it waits, with a window that is open
            _drive(connection, loop, 2.5)
            publish(site.server.url, "late")
            begin = time.monotonic()
            _drive(connection, loop, 5, until=lambda: bool(got))
            assert [message.payload for message in got] == ["late"]
            assert time.monotonic() - begin < 2
            got.pop().ack()


def _processor_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _drive(
    connection: Connection, loop: bool, seconds: float, until: Callable[[], bool] | None = None
) -> None:
    """Let a connection work, as applications or as Celery does."""
    end = time.monotonic() + seconds
    if not loop:
        while time.monotonic() < end and not (until and until()):
            try:
                connection.drain_events(timeout=0.5 if until else end - time.monotonic())
            except TimeoutError:
                continue
        return
    from kombu.asynchronous import Hub

    hub = Hub()
    connection.transport.register_with_event_loop(connection.connection, hub)
    try:
        hub.call_repeatedly(0.05, lambda: None)
        steps = hub.create_loop()
        while time.monotonic() < end and not (until and until()):
            next(steps)
    finally:
        connection.transport.unregister_from_event_loop(connection.connection, hub)
        hub.close()
