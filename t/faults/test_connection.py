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


@pytest.mark.fault("kombu#1504")
@pytest.mark.timeout(20)
def test_failed_publishes_leave_no_descriptors() -> None:
    # Green there: what leaks takes hours of a broker that comes and goes; kept as a guard.
    connection = Connection(DEAD, connect_timeout=1)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(300):
        with suppress(OperationalError, OSError):
            connection.Producer().publish("x", routing_key="q", retry=True, retry_policy=POLICY)
    assert len(os.listdir("/proc/self/fd")) <= before


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
