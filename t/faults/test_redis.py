"""What stands in Redis, and what is lost of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.pidbox import Mailbox
from t.faults.broker import Broker, consume, drain, payloads, take

pytestmark = pytest.mark.server("redis")

#: Leases of a second, in either package's words.
SHORT = {"visibility_timeout": 1, "unacked_restore_interval": 1}


@pytest.fixture
def client(redis: Broker) -> Iterator[Any]:
    """redis-py, for looking at what is stored."""
    module = pytest.importorskip("redis")
    with module.Redis.from_url(redis.url) as client:
        yield client


def elsewhere(code: str, *arguments: str) -> int:
    """Run code in a process of its own, as a client that knows nothing; its exit status."""
    return subprocess.run([sys.executable, "-c", code, *arguments], timeout=60).returncode


# ---- declared is declared


@pytest.mark.fault(11)
@pytest.mark.parametrize("options", [{}, {"global_keyprefix": "some-"}], ids=["plain", "prefix"])
def test_a_declared_empty_queue_is_there(redis: Broker, options: dict[str, Any]) -> None:
    name = redis.queue(redis.connection(**options).channel())
    other = redis.connection(**options).channel()
    assert other.queue_declare(name, passive=True).message_count == 0


@pytest.mark.fault(11)
def test_a_queue_with_a_message_is_there_with_a_prefix(redis: Broker) -> None:
    name = redis.queue(redis.connection(global_keyprefix="some-").channel(), "x")
    other = redis.connection(global_keyprefix="some-").channel()
    assert other.queue_declare(name, passive=True).message_count == 1


@pytest.mark.fault(15)
def test_databases_share_no_names(redis: Broker) -> None:
    name = redis.name()
    fanout = Queue(name, Exchange(redis.name("f"), "fanout"))
    first = redis.connection()
    Consumer(first.channel(), [fanout], on_message=print).consume()
    second = redis.connection(redis.url.rpartition("/")[0] + "/1")
    channel = second.channel()
    channel.queue_declare(name, durable=True)
    redis.put(channel, name, "x")
    _, got = consume(channel, name)
    drain(second, lambda: got)
    assert payloads(got) == ["x"]


# ---- crashes

CRASHES = """
import os, signal, sys
import redis
from kombu import Connection, Consumer, Queue
url, prefix, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])

def consume_and_die_at(count):
    base = redis.connection.AbstractConnection
    send, sent = base.send_packed_command, []
    def counted(self, *args, **kwargs):
        done = send(self, *args, **kwargs)
        sent.append(1)
        if len(sent) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    base.send_packed_command = counted
    got = []
    client = Connection(url, transport_options={"visibility_timeout": 1})
    consumer = Consumer(client.channel(), [Queue(prefix + str(count))], on_message=got.append,
                        auto_declare=False)
    consumer.consume()
    while not got:
        try:
            client.drain_events(timeout=1)
        except TimeoutError:
            pass
    os._exit(7)

for count in range(1, limit + 1):
    child = os.fork()
    if not child:
        consume_and_die_at(count)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        break
sys.exit(count)
"""


@pytest.mark.fault(12, "celery#4354")
def test_no_command_after_which_a_kill_loses_the_message(redis: Broker) -> None:
    prefix = redis.name() + "-"
    names = [f"{prefix}{count}" for count in range(1, 61)]
    channel = redis.connection().channel()
    for name in names:
        channel.queue_declare(name, durable=True)
        redis.put(channel, name, name)
    tried = elsewhere(CRASHES, redis.url, prefix, str(len(names)))
    assert 1 < tried <= len(names)
    survivor = redis.connection(**SHORT)
    got: list[Any] = []
    queues = [Queue(name) for name in names]
    Consumer(
        survivor.channel(), queues, on_message=got.append, auto_declare=False, prefetch_count=100
    ).consume()
    drain(survivor, lambda: len(got) >= len(names), limit=12)
    assert set(names) - set(payloads(got)) == set()


@pytest.mark.fault("kombu#305", "kombu#1836")
def test_what_waits_in_the_socket_at_shutdown_is_not_lost(redis: Broker, client: Any) -> None:
    leaving = redis.connection()
    channel = leaving.channel()
    name = redis.queue(channel)
    consumer, got = consume(channel, name)
    drain(leaving)
    redis.put(redis.connection().channel(), name, "x")
    # The server has answered whatever the consumer waited with; nobody has read it.
    client.ping()
    consumer.cancel()
    leaving.close()
    assert got == []
    assert payloads(take(redis.connection().channel(), name, 1)) == ["x"]


HOLD = """
import os, signal, sys
from kombu import Connection, Consumer, Exchange, Queue
url, exchange, name = sys.argv[1:]
client = Connection(url, transport_options={"visibility_timeout": 1})
channel = client.channel()
queue = Queue(name, Exchange(exchange, "topic"), routing_key="a.*")
queue(channel).declare()
client.Producer(channel).publish("x", exchange=exchange, routing_key="a.b")
got = []
Consumer(channel, [queue], on_message=got.append).consume()
while not got:
    client.drain_events(timeout=10)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.fault(27)
def test_a_topic_message_is_restored_by_who_never_declared(redis: Broker) -> None:
    name = redis.name()
    assert elsewhere(HOLD, redis.url, redis.name("topic"), name) == -signal.SIGKILL
    survivor = redis.connection(**SHORT)
    _, got = consume(survivor.channel(), name)
    drain(survivor, lambda: got, limit=10)
    assert payloads(got) == ["x"]


PUBLISH = """
import sys
from kombu import Connection, Producer
with Connection(sys.argv[1]) as client:
    Producer(client).publish("x", exchange=sys.argv[2], routing_key="")
"""


@pytest.mark.fault(28)
def test_who_has_not_declared_an_exchange_learns_its_type(redis: Broker) -> None:
    exchange = Exchange(redis.name("fanout"), "fanout")
    connection = redis.connection()
    got: list[Any] = []
    Consumer(connection.channel(), [Queue(redis.name(), exchange)], on_message=got.append).consume()
    drain(connection)
    assert elsewhere(PUBLISH, redis.url, exchange.name) == 0
    drain(connection, lambda: got)
    assert payloads(got) == ["x"]


# ---- bindings and replies


@pytest.mark.fault(37, "kombu#1063")
@pytest.mark.parametrize("mandatory", [False, True])
def test_a_lost_binding_set_is_not_silent(redis: Broker, client: Any, mandatory: bool) -> None:
    channel = redis.connection().channel()
    exchange, name = redis.name("direct"), redis.name()
    Queue(name, Exchange(exchange), routing_key="k")(channel).declare()
    returned: list[Any] = []
    # The published package has no on_return on Redis.
    on_return = {"on_return": lambda *args: returned.append(args)} if mandatory else {}
    producer = Producer(channel, **on_return)
    producer.publish("before", exchange=exchange, routing_key="k")
    assert client.delete(f"_kombu.binding.{exchange}") == 1
    errors: list[BaseException] = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            producer.publish("after", exchange=exchange, routing_key="k", mandatory=mandatory)
        except Exception as error:  # noqa: BLE001 - any is better than silence
            errors.append(error)
    with suppress(Exception):
        arrived = payloads(take(channel, name, 2, limit=0.5))
    assert errors or returned or "after" in arrived or (said and not mandatory)


ASK = """
import os, signal, sys
from kombu import Connection
from kombu.pidbox import Mailbox
client = Connection(sys.argv[1])
mailbox = Mailbox(sys.argv[2], connection=client, type="fanout", reply_queue_expires=1)
mailbox.get_reply_queue()(client.channel()).declare()
print(mailbox.oid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.fault(38, "kombu#294", "celery#6089")
def test_replies_to_a_requester_that_is_gone_expire(redis: Broker, client: Any) -> None:
    namespace = redis.name("ns")
    asked = subprocess.run(
        [sys.executable, "-c", ASK, redis.url, namespace], stdout=subprocess.PIPE, timeout=60
    )
    oid = asked.stdout.decode().strip()
    connection = redis.connection()
    mailbox = Mailbox(namespace, connection=connection, type="fanout")
    node = mailbox.Node("node", channel=connection.channel())
    node.listen()
    for number in range(2):
        node.reply(
            {"node": number}, exchange=f"reply.{namespace}.pidbox", routing_key=oid, ticket="t"
        )
    drain(connection, lambda: not client.keys(f"{oid}*"), limit=6)
    assert client.keys(f"{oid}*") == []


ASK_AND_DIE = """
import os, signal, sys
from kombu import Connection
import kombu.transport.redis
from kombu.pidbox import Mailbox
url, namespace, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for number in range(count):
    child = os.fork()
    if not child:
        client = Connection(url)
        mailbox = Mailbox(namespace, connection=client, type="fanout", reply_queue_expires=1)
        channel = client.channel()
        mailbox.get_reply_queue()(channel).declare()
        exchange = mailbox.get_reply_queue().exchange.name
        mailbox._publish("ping", {}, reply_ticket=str(number), channel=channel)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
"""

#: As many requesters; 1,000 is the full number.
REQUESTERS = int(os.environ.get("KOMBU_REQUESTERS", "15"))


@pytest.mark.fault("kombu#294", "celery#6089")
@pytest.mark.timeout(180 + 2 * REQUESTERS)
def test_requesters_that_are_killed_leave_nothing_behind(redis: Broker, client: Any) -> None:
    namespace = redis.name("ns")
    connection = redis.connection()
    answered: list[Any] = []
    node = Mailbox(namespace, connection=connection, type="fanout").Node(
        "node",
        channel=connection.channel(),
        handlers={"ping": lambda state, **_: answered.append(1)},
    )
    node.listen()
    before = set(client.keys("*"))
    asking = subprocess.Popen(
        [sys.executable, "-c", ASK_AND_DIE, redis.url, namespace, str(REQUESTERS)]
    )
    drain(
        connection,
        lambda: asking.poll() is not None and len(answered) >= REQUESTERS,
        limit=60 + 2 * REQUESTERS,
    )
    assert asking.wait(10) == 0
    assert len(answered) >= REQUESTERS / 2  # the published package misses some of them

    def lasting() -> list[bytes]:
        """Keys of requesters that nothing will remove; the binding table has a deadline."""
        keys = set(client.keys("*")) - before
        return [key for key in keys if client.ttl(key) == -1 and not key.startswith(b"_kombu.b")]

    # What is held of the node's own queue comes and goes.
    drain(connection, lambda: len(lasting()) <= 2, limit=15)
    assert len(lasting()) <= 2


# ---- options


@pytest.mark.fault(18)
def test_query_options_are_read(redis: Broker) -> None:
    with Connection(f"{redis.url}?socket_timeout=5") as connection:
        name = redis.queue(connection.channel(), "x")
        assert payloads(take(connection.channel(), name, 1)) == ["x"]


@pytest.mark.fault(18)
@pytest.mark.parametrize("where", ["option", "query"])
def test_a_misspelt_option_is_said(redis: Broker, where: str) -> None:
    url = f"{redis.url}?socket_timeut=5" if where == "query" else redis.url
    options = {"visibilty_timeout": 5} if where == "option" else {}
    with pytest.warns(UserWarning, match=r"did you mean '(socket|visibility)_timeout'"):
        Connection(url, transport_options=options).connect()


@pytest.mark.fault("celery#4028", "celery#8967")
def test_priorities_above_nine_come_last(redis: Broker) -> None:
    # Green there: 0 is the highest on Redis, and the published format is kept.
    channel = redis.connection().channel()
    name = redis.queue(channel)
    for priority in (255, 9, 3, 0):
        redis.put(channel, name, priority, priority=priority)
    assert payloads(take(channel, name, 4)) == [0, 3, 255, 9]
