"""Credentials that are renewed while connections are open."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from amqp.exceptions import RecoverableConnectionError
from redis.credentials import CredentialProvider, StreamingCredentialProvider

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.transport.redis.renewals import Renewals, credentials_of
from t.services.pool import Servers

pytestmark = pytest.mark.server("redis-secure")

OLD, NEW, LAST = ("kombu-old", "pw-old"), ("kombu-new", "pw-new"), ("kombu-last", "pw-last")


class Token:
    """As redis-py's token interface has it."""

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password

    def try_get(self, key: str) -> str | None:
        return self._user if key == "oid" else None

    def get_value(self) -> str:
        return self._password


class Rotating(StreamingCredentialProvider):
    """Hands out other credentials when it is told to; keeps one callback, as some do."""

    def __init__(self) -> None:
        self.current = OLD
        self.asked = 0
        self.tell: Callable[[Any], None] = lambda token: None
        self.tell_error: Callable[[Exception], None] = lambda error: None

    def get_credentials(self) -> tuple[str, str]:
        self.asked += 1
        return self.current

    def on_next(self, callback: Callable[[Any], None]) -> None:
        self.tell = callback

    def on_error(self, callback: Callable[[Exception], None]) -> None:
        self.tell_error = callback

    def is_streaming(self) -> bool:
        return True

    def rotate(self, to: tuple[str, str]) -> None:
        self.current = to
        self.tell(Token(*to))


@pytest.fixture
def admin(servers: Servers) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(servers.env("redis-secure")["REDIS_AUTH_URL"], protocol=2) as admin:
        for name, password in (OLD, NEW, LAST):
            admin.execute_command("ACL", "SETUSER", name, "on", f">{password}", "~*", "&*", "+@all")
        admin.flushdb()
        yield admin
        admin.execute_command("ACL", "DELUSER", OLD[0], NEW[0], LAST[0])


@pytest.fixture(params=["plain", "tls"])
def url(request: pytest.FixtureRequest, servers: Servers) -> str:
    env = servers.env("redis-secure")
    if request.param == "plain":
        return "redis://" + env["REDIS_ACL_URL"].partition("@")[2]
    tls = env["REDIS_TLS_URL"].partition("@")[2]
    return f"rediss://{tls}?ssl_ca_certs={env['REDIS_TLS_CA']}"


def users(admin: redis.Redis, *names: str) -> list[str]:
    return [each["id"] for each in admin.client_list() if each["user"] in names]


def listeners(admin: redis.Redis) -> set[str]:
    return {each["id"] for each in admin.client_list() if int(each["sub"])}


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


class Waiting:
    """Consumers in a thread, a direct and a fanout queue's."""

    def __init__(self, url: str, provider: Any) -> None:
        self.connection = Connection(url, transport_options={"credential_provider": provider})
        channel = self.connection.channel()
        self.got: list[Any] = []
        fanout = Queue("all-of-it", Exchange("all", "fanout"), auto_delete=True)
        self.consumer = Consumer(
            channel,
            [Queue("q"), fanout],
            on_message=lambda message: (self.got.append(message.payload), message.ack()),
        )
        self.consumer.consume()
        self.error: BaseException | None = None
        self.stop = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while not self.stop:
            try:
                self.connection.drain_events(timeout=1)
            except (TimeoutError, RecoverableConnectionError):
                continue  # cut in the middle of a command: said, and gone on from
            except BaseException as error:  # noqa: BLE001 - looked at by the test
                self.error = error
                return

    def close(self) -> None:
        self.stop = True
        self.thread.join(5)
        self.connection.release()


def test_renewed_credentials_reach_every_open_connection(admin: redis.Redis, url: str) -> None:
    provider = Rotating()
    waiting = [Waiting(url, provider) for _ in range(3)]
    with Connection(url, transport_options={"credential_provider": provider}) as connection:
        producer = Producer(connection.channel())
        for number in range(3):
            producer.publish(number, routing_key="q")
        assert wait_for(lambda: sum(len(each.got) for each in waiting) == 3)
        assert wait_for(lambda: len(listeners(admin)) == 4)
        before = set(users(admin, OLD[0]))
        commands = before - listeners(admin)
        assert len(commands) == 4
        made = admin.info("stats")["total_connections_received"]

        def renewed() -> bool:
            # A producer that rests replaces its listener when it publishes next.
            producer.publish("meanwhile", exchange="all")
            return not users(admin, OLD[0])

        provider.rotate(NEW)
        assert wait_for(renewed)
        # Command connections stayed, listeners were replaced, one each.
        assert wait_for(lambda: len(users(admin, NEW[0])) == 8)
        assert before & set(users(admin, NEW[0])) == commands
        assert admin.info("stats")["total_connections_received"] - made == 4

        # Revoking the old ones closes what still uses them: nothing does.
        assert admin.execute_command("ACL", "DELUSER", OLD[0]) == 1
        producer.publish("after", routing_key="q")
        producer.publish("to all", exchange="all")
        assert wait_for(lambda: any("after" in each.got for each in waiting))
        assert wait_for(lambda: all(each.got.count("to all") == 1 for each in waiting))
        assert [each.error for each in waiting] == [None, None, None]
        assert len(users(admin, NEW[0])) == 8
    for each in waiting:
        each.close()


def test_credentials_revoked_at_once_are_resumed_from(admin: redis.Redis, url: str) -> None:
    provider = Rotating()
    waiting = Waiting(url, provider)
    assert wait_for(lambda: len(users(admin, OLD[0])) == 2)
    provider.current = NEW
    # The server closes what used the old ones before anybody was told.
    admin.execute_command("ACL", "DELUSER", OLD[0])
    assert wait_for(lambda: len(users(admin, NEW[0])) == 2)
    with Connection(url, transport_options={"credential_provider": provider}) as connection:
        Producer(connection.channel()).publish("after", routing_key="q")
    assert wait_for(lambda: waiting.got == ["after"])
    assert waiting.error is None
    waiting.close()


def test_a_token_that_is_refused_ends_in_the_providers_next_answer(
    admin: redis.Redis, url: str
) -> None:
    provider = Rotating()
    with Connection(url, transport_options={"credential_provider": provider}) as connection:
        producer = Producer(connection.channel())
        producer.publish(1, routing_key="q")
        provider.current = LAST
        provider.tell(Token("nobody", "wrong"))
        producer.publish(2, routing_key="q")
        assert len(users(admin, LAST[0])) == 1
    assert admin.llen("q") == 2


def test_a_failed_renewal_is_said_without_secrets(
    url: str, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    provider = Rotating()
    with Connection(url, transport_options={"credential_provider": provider}) as connection:
        connection.channel().queue_declare("q")
        provider.tell_error(RuntimeError("pw-old is over"))
        connection.channel().queue_declare("q")
    assert "not renewed" in caplog.text
    assert "pw-old" not in caplog.text


def test_a_provider_that_does_not_stream_is_asked_at_each_connect(
    url: str, admin: redis.Redis
) -> None:
    class Plain(CredentialProvider):
        def get_credentials(self) -> tuple[str, str]:
            return OLD

    with Connection(url, transport_options={"credential_provider": Plain}) as connection:
        connection.channel().queue_declare("q")
        assert len(users(admin, OLD[0])) == 1


def test_one_registry_per_provider() -> None:
    provider = Rotating()
    assert Renewals.of(provider) is Renewals.of(provider)
    assert credentials_of(("pw",)) == ("pw",)
    assert credentials_of(Token("", "pw")) == ("pw",)
    with pytest.raises(TypeError, match="int"):
        credentials_of(5)
