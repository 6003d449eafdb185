"""Fault 16: a policy given to publish is not used for connecting, and is written elsewhere."""

from __future__ import annotations

import time

import pytest

from kombu import Connection
from kombu.exceptions import OperationalError
from t.unit.connection.scripted import Script, Unreachable


def test_policy_reaches_the_connect_that_publish_needs() -> None:
    script = Script(*(Unreachable(str(number)) for number in range(99)))
    options = {"interval_start": 5}
    connection = script.connection(transport_options=options)
    policy = {"max_retries": 2, "interval_start": 0.01, "interval_step": 0, "interval_max": 0.01}
    begin = time.monotonic()
    with pytest.raises(OperationalError):
        connection.Producer().publish({}, routing_key="q", retry=True, retry_policy=policy)
    assert time.monotonic() - begin < 2
    assert len(script.hosts) == 3
    assert options == {"interval_start": 5}
    assert connection.transport_options == {"interval_start": 5}
    assert policy == {
        "max_retries": 2, "interval_start": 0.01, "interval_step": 0, "interval_max": 0.01,
    }  # fmt: skip


def test_policy_reaches_connects_inside_the_function() -> None:
    script = Script(*(Unreachable(str(number)) for number in range(99)))
    connection = script.connection()

    def work() -> None:
        _ = connection.default_channel

    with pytest.raises(OperationalError):
        connection.ensure(None, work, max_retries=1, interval_start=0.01, interval_max=0.01)()
    assert len(script.hosts) == 2


def test_a_real_dead_port() -> None:
    connection = Connection("amqp://127.0.0.1:1//", connect_timeout=1)
    begin = time.monotonic()
    with pytest.raises(OperationalError):
        connection.Producer().publish(
            {},
            routing_key="q",
            retry=True,
            retry_policy={"max_retries": 1, "interval_start": 0.01, "interval_max": 0.01},
        )
    assert time.monotonic() - begin < 3
