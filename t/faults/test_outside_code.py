"""What applications, plugins and Celery do with names that are not quite the API: goes on working.

Green on either package.
"""

from __future__ import annotations

from collections import defaultdict, deque
from queue import Empty
from typing import Any

import pytest

from kombu import Connection, Consumer, Exchange, Queue
from kombu.transport import memory, virtual
from t.faults.broker import Broker, consume, drain, payloads, take


@pytest.mark.fault("outside")
def test_polling_interval_is_set_on_the_transport(memory: Broker) -> None:
    connection = Connection(memory.url)
    connection.transport.polling_interval = 0.01
    channel = connection.channel()
    name = memory.queue(channel, "x")
    _, got = consume(channel, name)
    drain(connection, lambda: got)
    assert connection.transport.polling_interval == 0.01
    assert payloads(got) == ["x"]


@pytest.mark.fault("outside")
@pytest.mark.parametrize("scheme", ["memory", "amqp", "redis", "filesystem"])
def test_the_first_recoverable_error_is_an_exception(scheme: str) -> None:
    connection = Connection(f"{scheme}://")
    error = connection.recoverable_connection_errors[0]
    assert issubclass(error, Exception)
    with pytest.raises(error):
        raise error("lost")


@pytest.mark.fault("outside")
def test_on_revive_is_called_with_the_new_channel(memory: Broker) -> None:
    connection = memory.connection()
    error = connection.recoverable_connection_errors[0]
    revived: list[Any] = []
    tries: list[int] = []

    def flaky() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise error("lost")
        return "done"

    class Revivable:
        def revive(self, channel: Any) -> None:
            """Take the new channel."""

    ensured = connection.ensure(
        Revivable(), flaky, max_retries=3, interval_start=0, on_revive=revived.append
    )
    assert ensured() == "done"
    assert len(revived) == 1
    assert hasattr(revived[0], "basic_publish")


@pytest.mark.fault("outside")
def test_celery_reraises_as_library_errors() -> None:
    from kombu.exceptions import OperationalError

    connection = Connection("memory://")
    with pytest.raises(OperationalError), connection._reraise_as_library_errors():
        raise connection.recoverable_connection_errors[0]("lost")
    with pytest.raises(LookupError), connection._reraise_as_library_errors():
        raise LookupError("of the user")


@pytest.mark.fault("outside")
def test_celery_parses_urls() -> None:
    from kombu.utils.url import _parse_url

    scheme, host, port, user, password, path, query = _parse_url(
        "redis://user:pa%40ss@host:6380/1?ssl=none"
    )
    assert (scheme, host, port, user, password, path) == (
        "redis", "host", 6380, "user", "pa@ss", "1",
    )  # fmt: skip
    assert query == {"ssl": "none"}


@pytest.mark.fault("outside")
def test_celery_detects_the_environment() -> None:
    from kombu.utils.compat import _detect_environment

    assert _detect_environment() == "default"


# ---- classes that are replaced at run time


@pytest.mark.fault("outside")
def test_qos_and_message_are_replaced_on_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    class Message(virtual.Message):
        """Somebody's own."""

    class QoS(virtual.QoS):
        """Somebody's own."""

    class Channel(memory.Channel):
        """A class to replace them on."""

    class Transport(memory.Transport):
        """Uses it."""

    Transport.Channel = Channel
    monkeypatch.setattr(Channel, "Message", Message)
    monkeypatch.setattr(Channel, "QoS", QoS)
    with Connection(transport=Transport, virtual_host="replaced") as connection:
        channel = connection.channel()
        assert type(channel.qos) is QoS
        channel.queue_declare("q", durable=True)
        connection.Producer(channel).publish("x", routing_key="q")
        message = Queue("q")(channel).get()
        assert type(message) is Message
        message.ack()


@pytest.mark.fault("outside")
def test_a_transport_appends_to_its_available_channels() -> None:
    made: list[Any] = []

    class Transport(memory.Transport):
        """As some transports do: opens the first channel with the connection."""

        def establish_connection(self) -> Any:
            channel = self.create_channel(self)
            self._avail_channels.append(channel)
            made.append(channel)
            return self

    with Connection(transport=Transport, virtual_host="avail") as connection:
        connection.connect()
        assert connection.channel() is made[0]
        assert connection.channel() is not made[0]


# ---- state


@pytest.mark.fault("outside")
def test_state_shows_exchanges_and_bindings(memory: Broker) -> None:
    connection = memory.connection()
    channel = connection.channel()
    exchange, name = memory.name("topic"), memory.name()
    Queue(name, Exchange(exchange, "topic"), routing_key="a.*")(channel).declare()
    state = channel.connection.state
    assert state.exchanges[exchange]["type"] == "topic"
    [binding] = state.queue_bindings(name)
    assert (binding.exchange, binding.routing_key) == (exchange, "a.*")


# ---- hooks


@pytest.mark.fault("outside")
def test_hooks_are_called_with_the_arguments_there_were() -> None:
    stored: dict[str, Any] = defaultdict(deque)
    calls: list[tuple[str, dict[str, Any]]] = []

    class Channel(virtual.Channel):
        """The least a channel can be."""

        def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
            calls.append((queue, kwargs))
            stored[queue].append(message)

        def _get(self, queue: str) -> Any:
            if not stored[queue]:
                raise Empty
            return stored[queue].popleft()

        def _size(self, queue: str) -> int:
            return len(stored[queue])

        def _purge(self, queue: str) -> int:
            size = len(stored[queue])
            stored[queue].clear()
            return size

    class Transport(virtual.Transport):
        """Uses it."""

    Transport.Channel = Channel
    Transport.polling_interval = 0.01
    with Connection(transport=Transport) as connection:
        channel = connection.channel()
        channel.queue_declare("q")
        connection.Producer(channel).publish({"a": 1}, routing_key="q")
        got: list[Any] = []
        Consumer(channel, [Queue("q")], on_message=got.append, auto_declare=False).consume()
        drain(connection, lambda: got)
        assert got[0].payload == {"a": 1}
        assert calls[0][0] == "q"
        assert set(got[0]._raw) >= {"body", "headers", "properties"}


# ---- Redis


@pytest.mark.fault("outside")
@pytest.mark.server("redis")
def test_redis_channels_are_overridden_and_read(redis: Broker) -> None:
    from kombu.transport import redis as package

    asked: list[dict[str, Any]] = []
    published: list[str] = []

    class Channel(package.Channel):
        """Somebody's own."""

        def _connparams(self, asynchronous: bool = False) -> Any:
            params = super()._connparams(asynchronous=asynchronous)
            asked.append(dict(params))
            return {**params, "client_name": "overridden"}

        def basic_publish(
            self, message: Any, exchange: str, routing_key: str, **kwargs: Any
        ) -> Any:
            published.append(routing_key)
            return super().basic_publish(message, exchange, routing_key, **kwargs)

    class Transport(package.Transport):
        """Uses it."""

    Transport.Channel = Channel
    parts = Connection(redis.url)
    with Connection(
        transport=Transport, hostname=parts.hostname, port=parts.port, virtual_host="0"
    ) as connection:
        channel = connection.channel()
        name = redis.queue(channel, "x")
        assert payloads(take(channel, name, 1)) == ["x"]
        assert published == [name]
        assert asked
        assert (asked[0]["host"], asked[0]["port"]) == (parts.hostname, parts.port)
        assert channel.sep == "\x06\x16"
        assert list(channel.priority_steps) == [0, 3, 6, 9]
        import redis as client_library

        with client_library.Redis.from_url(redis.url) as client:
            assert "overridden" in {entry["name"] for entry in client.client_list()}


@pytest.mark.fault("outside")
def test_error_tuples_can_be_set() -> None:
    # oslo.messaging's tests do so.
    with Connection("memory://") as connection:
        connection.recoverable_connection_errors = (KeyError,)
        assert connection.recoverable_connection_errors == (KeyError,)
        assert connection.connection_errors == connection.transport.connection_errors
