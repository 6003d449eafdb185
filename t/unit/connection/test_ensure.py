from __future__ import annotations

import time
from typing import Any

import pytest

from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.transport.base import Transport

from .scripted import Refused, Script, ScriptedChannel, Unreachable

QUICK = {"interval_start": 0.01, "interval_step": 0.01, "interval_max": 0.02}


class Client:
    """Has a channel, as producers do."""

    def __init__(self, connection: Any) -> None:
        self.channel = connection.default_channel
        self.revived: list[Any] = []

    def revive(self, channel: Any) -> None:
        self.channel = channel
        self.revived.append(channel)


class Task:
    """Raises what it was told to, one after another, then returns."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.calls: list[tuple[Any, Any]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        self.calls.append((args, kwargs))
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def test_calls_again_on_a_new_connection() -> None:
    script = Script()
    connection = script.connection()
    client = Client(connection)
    first = connection.connection
    revived: list[Any] = []
    task = Task(Unreachable("lost"))
    ensured = connection.ensure(client, task, on_revive=revived.append, **QUICK)
    assert ensured(1, key=2) == "done"
    assert task.calls == [((1,), {"key": 2})] * 2
    assert connection.connection is not first
    assert client.revived == revived == [connection.default_channel]
    assert script.open == {connection.connection}


def test_name_and_doc_of_the_function() -> None:
    def publish() -> None:
        """What it does."""

    ensured = Script().connection().ensure(None, publish)
    assert ensured.__name__ == "publish(ensured)"
    assert ensured.__doc__ == "What it does."


@pytest.mark.parametrize("error", [Unreachable, Refused])
@pytest.mark.parametrize("retries", [0, 1, 3])
def test_gives_up_after_max_retries(error: type[Exception], retries: int) -> None:
    connection = Script().connection()
    task = Task(*(error(str(number)) for number in range(9)))
    with pytest.raises(OperationalError) as caught:
        connection.ensure(Client(connection), task, max_retries=retries, **QUICK)()
    assert len(task.calls) == retries + 1
    assert isinstance(caught.value.__cause__, error)


def test_first_retry_is_immediate_and_later_ones_wait() -> None:
    connection = Script().connection()
    seconds: list[float] = []
    task = Task(*(Unreachable(str(number)) for number in range(4)))
    connection.ensure(
        Client(connection), task, errback=lambda exc, pause: seconds.append(pause), **QUICK
    )()
    assert seconds == [0, 0.01, 0.02, 0.02]


def test_other_errors_are_the_callers() -> None:
    connection = Script().connection()
    task = Task(KeyError("yours"))
    with pytest.raises(KeyError):
        connection.ensure(Client(connection), task, **QUICK)()
    assert len(task.calls) == 1
    assert connection.ensure(
        Client(connection), Task(KeyError("a")), retry_errors=(KeyError,), **QUICK
    )() == "done"  # fmt: skip


def test_a_refused_operation_keeps_connection_and_channel() -> None:
    script = Script()
    connection = script.connection()
    client = Client(connection)
    connection.ensure(client, Task(Refused("no")), **QUICK)()
    assert client.revived == []
    assert len(script.hosts) == 1


def test_a_refusal_that_closed_the_channel_brings_a_new_one() -> None:
    script = Script()
    connection = script.connection()
    client = Client(connection)

    def publish() -> str:
        if not client.revived:
            client.channel.close()
            raise Refused("404")
        return "done"

    assert connection.ensure(client, publish, **QUICK)() == "done"
    assert not client.channel.closed
    assert len(script.hosts) == 1


@pytest.mark.parametrize("retries", [1, 5, None])
def test_a_refusal_that_nobody_called_recoverable_is_tried_once_more(retries: int | None) -> None:
    class Plain(Transport):
        connection_errors = (Unreachable,)
        channel_errors = (Refused,)

        def establish_connection(self) -> Any:
            return object()

        def create_channel(self, connection: Any) -> Any:
            return ScriptedChannel(connection)

        def close_connection(self, connection: Any) -> None:
            pass

    connection = Connection("h", transport=Plain)
    client = Client(connection)
    task = Task(*(Refused(str(number)) for number in range(9)))
    with pytest.raises(OperationalError):
        connection.ensure(client, task, max_retries=retries, **QUICK)()
    assert len(task.calls) == 2
    assert client.revived == [connection.default_channel]


def test_goes_on_to_the_alternate() -> None:
    script = Script()
    connection = script.connection("one;two")
    client = Client(connection)
    connection.ensure(client, Task(Unreachable("lost")), **QUICK)()
    assert script.hosts == ["one", "two"]


def test_policy_holds_for_reconnecting() -> None:
    script = Script(None, *(Unreachable(str(number)) for number in range(99)))
    connection = script.connection()
    client = Client(connection)
    with pytest.raises(OperationalError):
        connection.ensure(client, Task(Unreachable("lost")), max_retries=2, **QUICK)()
    assert len(script.hosts) == 1 + 3


def test_timeout_holds_for_all_of_it() -> None:
    script = Script(None, *(Unreachable(str(number)) for number in range(9999)))
    connection = script.connection()
    client = Client(connection)
    begin = time.monotonic()
    with pytest.raises(OperationalError):
        connection.ensure(client, Task(Unreachable("lost")), timeout=0.2, **QUICK)()
    assert 0.2 <= time.monotonic() - begin < 2


def test_timeout_holds_where_the_function_only_fails() -> None:
    connection = Script().connection()
    begin = time.monotonic()
    with pytest.raises(OperationalError):
        connection.ensure(
            Client(connection), Task(*[Unreachable("x")] * 999), timeout=0.2, interval_start=9
        )()
    assert time.monotonic() - begin < 2


def test_autoretry_hands_on_the_channel() -> None:
    connection = Script().connection()
    seen: list[Any] = []

    def work(number: int, channel: Any = None) -> int:
        seen.append(channel)
        if len(seen) == 1:
            raise Unreachable("lost")
        return number

    result, channel = connection.autoretry(work, **QUICK)(5)
    assert result == 5
    assert seen == [seen[0], connection.default_channel]
    assert channel is connection.default_channel


def test_a_connection_that_is_lost_again_before_it_is_of_use_costs_one_retry() -> None:
    connection = Script().connection()

    class Unlucky(Client):
        def revive(self, channel: Any) -> None:
            super().revive(channel)
            if len(self.revived) == 1:
                raise Unreachable("lost again")

    client = Unlucky(connection)
    task = Task(Unreachable("lost"))
    assert connection.ensure(client, task, max_retries=2, **QUICK)() == "done"
    assert len(client.revived) == len(task.calls) == 2

    client = Unlucky(connection)
    with pytest.raises(OperationalError, match="lost again"):
        connection.ensure(client, Task(Unreachable("lost")), max_retries=1, **QUICK)()
