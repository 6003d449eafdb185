"""Writes that a cut or a step-down interrupts: done again, and once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from amqp.exceptions import AccessRefused, ChannelError
from amqp.exceptions import ConnectionError as AMQPConnectionError
from pymongo.collection import Collection
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    NotPrimaryError,
    OperationFailure,
    ServerSelectionTimeoutError,
    WriteConcernError,
)

from kombu import Connection
from kombu.testing.conformance.store import envelope
from kombu.testing.faults import FaultProxy
from kombu.transport.mongodb.database import BrokerDatabase
from kombu.transport.mongodb.errors import ERRORS
from kombu.transport.virtual.store import Put, Store
from t.services.pool import Servers

pytestmark = pytest.mark.server("mongodb")


@pytest.fixture
def proxy(servers: Servers) -> Iterator[FaultProxy]:
    place = urlsplit(servers.env("mongodb")["MONGODB_URL"])
    with FaultProxy(str(place.hostname), int(place.port or 0)) as proxy:
        yield proxy


@pytest.fixture
def open_store(proxy: FaultProxy) -> Iterator[Callable[[int], Store]]:
    """A store of one database, over the port given."""
    with ExitStack() as opened:
        name = f"cut_{uuid4().hex[:8]}"

        def open_store(port: int) -> Store:
            connection = Connection(
                f"mongodb://127.0.0.1:{port}/{name}?directConnection=true",
                transport_options={"change_streams": False},
            )
            opened.enter_context(connection)
            store: Store = connection.transport.create_store()
            opened.callback(store.close)
            return store

        yield open_store


@pytest.fixture
def store(proxy: FaultProxy, open_store: Callable[[int], Store]) -> Store:
    return open_store(proxy.port)


@pytest.fixture
def direct(open_store: Callable[[int], Store], servers: Servers) -> Store:
    return open_store(int(servers.env("mongodb")["MONGODB_PORT"]))


def test_a_batch_that_a_minority_has_stored_is_not_taken_for_safe(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server in the tests has one node: it can't miss its majority.
    late = {"code": 64, "errmsg": "waiting for replication timed out"}

    def insert_many(*args: Any, **options: Any) -> Any:
        raise BulkWriteError({"writeErrors": [], "writeConcernErrors": [late]})

    monkeypatch.setattr(Collection, "insert_many", insert_many)
    with pytest.raises((ChannelError, AMQPConnectionError), match="put 2 message"):
        store.put([Put("q", envelope(text)) for text in "ab"])


@pytest.mark.parametrize("count", [1, 3])
def test_what_is_put_on_a_cut_connection_is_stored(
    store: Store, proxy: FaultProxy, count: int
) -> None:
    store.put([Put("q", envelope("first"))])
    proxy.reset()
    store.put([Put("q", envelope(str(number))) for number in range(count)])
    assert store.size("q") == 1 + count


@pytest.mark.parametrize("count", [1, 3])
def test_what_was_stored_when_its_answer_was_lost_is_stored_once(
    store: Store, direct: Store, proxy: FaultProxy, count: int
) -> None:
    store.put([Put("q", envelope("first"))])
    proxy.set(blackhole=True, direction="down")
    puts = [Put("q", envelope(str(number))) for number in range(count)]
    with ThreadPoolExecutor(1) as pool:
        putting = pool.submit(store.put, puts)
        until(lambda: direct.size("q") == 1 + count)
        proxy.heal()
        proxy.reset()
        putting.result(timeout=20)
    assert direct.size("q") == 1 + count


@pytest.mark.parametrize(
    ("code", "error"), [(18, AMQPConnectionError), (8000, AMQPConnectionError), (13, AccessRefused)]
)
def test_who_is_refused_is_not_to_try_again(code: int, error: type[Exception]) -> None:
    with pytest.raises(error) as caught, ERRORS.mapped("connect"):
        raise OperationFailure("Authentication failed.", code)
    recoverable = (*ERRORS.recoverable_connection_errors, *ERRORS.recoverable_channel_errors)
    assert not isinstance(caught.value, recoverable)


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("gone"),
        NotPrimaryError("not me"),
        WriteConcernError("stepped down", 189),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_step_down_is_tried_again_once(error: Exception) -> None:
    answers = [error, "done"]
    assert BrokerDatabase.write(raising(answers)) == "done"
    answers = [error, error, "done"]
    with pytest.raises(type(error)):
        BrokerDatabase.write(raising(answers))


@pytest.mark.parametrize(
    "error",
    [ServerSelectionTimeoutError("no primary"), WriteConcernError("waited too long", 64)],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_are_raised_at_once(error: Exception) -> None:
    with pytest.raises(type(error)):
        BrokerDatabase.write(raising([error, "done"]))


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def raising(answers: list[Any]) -> Callable[[], Any]:
    """Gives or raises one answer after another."""

    def operation() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return operation
