"""Connecting, publishing with a policy, and what a connection shows of itself. No server."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.pools import ProducerPool
from t.held import nothing_left

POLICY = {"max_retries": 1, "interval_start": 0.01, "interval_step": 0, "interval_max": 0.01}
DEAD = "amqp://127.0.0.1:1//"


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


# ---- policies


@pytest.mark.fault(16)
@pytest.mark.timeout(8)
def test_publishs_policy_also_bounds_connecting() -> None:
    # Green there, because the policy is written into the connection's options: the next test.
    with (
        Connection(DEAD, connect_timeout=1) as connection,
        pytest.raises(OperationalError),
    ):
        connection.Producer().publish("x", routing_key="q", retry=True, retry_policy=POLICY)


@pytest.mark.fault(16)
def test_publishs_policy_is_written_nowhere() -> None:
    options: dict[str, Any] = {"max_retries": 0}
    connection = Connection("memory://", transport_options=options)
    producer = connection.Producer()
    producer.publish("x", routing_key="q", retry=True, retry_policy={**POLICY, "max_retries": 9})
    assert options == {"max_retries": 0}
    assert connection.transport_options == {"max_retries": 0}


# ---- broker down


@pytest.mark.fault("kombu#1024")
@pytest.mark.timeout(15)
def test_publish_to_a_dead_port_ends() -> None:
    # Green there: connecting is tried twice by default; fault 16 is about longer policies.
    with pytest.raises((OperationalError, OSError)):
        Connection(DEAD).Producer().publish("x", routing_key="q")


@pytest.mark.fault("kombu#357")
@pytest.mark.timeout(12)
@pytest.mark.parametrize("scheme", ["amqp", "amqps", "redis", "rediss"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_connect_timeout_holds_on_a_silent_port(silent: int, scheme: str) -> None:
    # Red there on Redis, which waits for an answer for ever.
    connection = Connection(f"{scheme}://127.0.0.1:{silent}//", connect_timeout=1)
    begin = time.monotonic()
    with pytest.raises((*connection.connection_errors, TimeoutError)):
        connection.connect()
    # Two attempts of one second, with two seconds between them.
    assert time.monotonic() - begin < 6


#: How many publishes fail; 10,000 were tried once.
FAILURES = int(os.environ.get("KOMBU_TEST_FAILURES", "600"))


@pytest.mark.fault("kombu#1504", "kombu#1085", "celery#5637", "celery#4843", "celery#9997")
@pytest.mark.timeout(60 + FAILURES // 50)
@pytest.mark.parametrize("url", [DEAD, f"{DEAD};amqp://127.0.0.1:2//"], ids=["one", "alternates"])
def test_failed_publishes_leave_nothing(url: str) -> None:
    # Green there: what leaks takes hours of a broker that comes and goes; kept as a guard.
    policy = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
    connection = Connection(url, connect_timeout=1)

    def fail(times: int) -> None:
        for _ in range(times):
            with suppress(OperationalError, OSError):
                connection.Producer().publish("x", routing_key="q", retry=True, retry_policy=policy)

    fail(50)
    with nothing_left():
        fail(FAILURES)


@pytest.mark.fault("kombu#1085", "celery#4843")
@pytest.mark.timeout(30)
def test_a_pool_keeps_its_places_when_publishing_fails() -> None:
    # Green there.
    policy = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
    pool = ProducerPool(Connection(DEAD, connect_timeout=1).Pool(2), limit=2)
    for _ in range(50):
        with suppress(OperationalError, OSError), pool.acquire(block=True, timeout=2) as producer:
            producer.publish("x", routing_key="q", retry=True, retry_policy=policy)
    held = [pool.acquire(block=True, timeout=2) for _ in range(2)]
    assert len(held) == 2


# ---- secrets

SECRET = "hunter2"


@pytest.mark.fault(35)
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("url", "options"),
    [
        (f"memory://user:{SECRET}@one/v", {}),
        (f"amqp://u:{SECRET}@one/v;amqp://u:{SECRET}@two/v", {}),
        ("memory://", {"sentinel_kwargs": {"password": SECRET}}),
        ("memory://", {"predefined_queues": {"a": {"secret_access_key": SECRET, "url": "u"}}}),
        (f"mongodb://u:{SECRET}@host/db", {}),
        (f"azureservicebus://policy:{SECRET}/a=@namespace", {}),
        (f"azurestoragequeues://{SECRET}/a==@https://a.queue.core.windows.net", {}),
    ],
    ids=[
        "password",
        "alternates",
        "nested options",
        "queues",
        "hostname",
        "service bus",
        "azure queues",
    ],
)
def test_info_shows_no_secret(url: str, options: dict[str, Any]) -> None:
    connection = Connection(url, transport_options=options)
    shown = connection.info()
    assert SECRET not in repr(shown)
    assert SECRET not in connection.as_uri()
    assert SECRET not in repr(connection)
