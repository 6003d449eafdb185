"""Fault 21: a builtin error of the application counts as a lost connection."""

from __future__ import annotations

import builtins

import pytest
from amqp.exceptions import MessageNacked

from kombu import Connection

TRANSPORTS = ["amqp", "memory", "redis", "mongodb", "zookeeper", "sqs", "filesystem"]
TRANSPORTS += ["azurestoragequeues", "azureservicebus", "qpid"]

TUPLES = (
    "connection_errors",
    "channel_errors",
    "recoverable_connection_errors",
    "recoverable_channel_errors",
)


@pytest.mark.parametrize("name", TRANSPORTS)
def test_no_builtins_but_os_errors(name: str) -> None:
    cls = Connection(f"{name}://").get_transport_cls()
    for attribute in TUPLES:
        for error in getattr(cls, attribute):
            builtin = vars(builtins).get(error.__name__) is error
            assert not builtin or issubclass(error, OSError), (attribute, error)


@pytest.mark.parametrize("name", TRANSPORTS)
def test_each_error_has_one_scope(name: str) -> None:
    cls = Connection(f"{name}://").get_transport_cls()
    assert not set(cls.connection_errors) & set(cls.channel_errors)
    for error in cls.recoverable_connection_errors:
        if error is MessageNacked:
            continue  # a refused confirm: published again, as ever, but no loss of the connection
        assert issubclass(error, tuple(cls.connection_errors)), error


def test_an_applications_key_error_is_its_own() -> None:
    with Connection("memory://") as connection:
        calls = []

        def work() -> None:
            calls.append(1)
            raise KeyError("yours")

        with pytest.raises(KeyError):
            connection.ensure(None, work, max_retries=3)()
        assert len(calls) == 1
