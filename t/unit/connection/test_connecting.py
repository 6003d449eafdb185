from __future__ import annotations

import time
from threading import Event, Thread
from typing import Any

import pytest
from amqp.exceptions import (
    AccessRefused,
    ChannelError,
    ConnectionForced,
    MessageNacked,
    NotAllowed,
    NotFound,
    RecoverableConnectionError,
    ResourceLocked,
)

from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.transport.base import Transport

from .scripted import Refused, Script, ScriptedTransport, Unreachable

QUICK = {"interval_start": 0.01, "interval_step": 0.01, "interval_max": 0.02}


def failures(count: int) -> list[Unreachable]:
    return [Unreachable(str(number)) for number in range(count)]


def test_connects_when_first_used_and_once() -> None:
    script = Script()
    connection = script.connection()
    assert not connection.connected
    assert script.hosts == []
    assert connection.default_channel is connection.default_channel
    assert connection.connection is connection.connect()
    assert script.hosts == ["broker"]


def test_retries_as_often_as_told_and_chains_the_cause() -> None:
    script = Script(*failures(9))
    with pytest.raises(OperationalError) as caught:
        script.connection().ensure_connection(max_retries=3, **QUICK)
    assert len(script.hosts) == 4
    assert isinstance(caught.value.__cause__, Unreachable)


def test_errback_and_callback() -> None:
    script = Script(*failures(2))
    seconds: list[float] = []
    calls: list[None] = []
    connection = script.connection()
    result = connection.ensure_connection(
        errback=lambda exc, interval: seconds.append(interval),
        callback=lambda: calls.append(None),
        **QUICK,
    )
    assert result is connection
    assert seconds == [0.01, 0.02]
    assert len(calls) == 2


def test_callback_may_end_it() -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        Script(*failures(9)).connection().ensure_connection(callback=stop, **QUICK)


def test_driver_errors_on_request() -> None:
    with pytest.raises(Unreachable):
        Script(*failures(2)).connection().ensure_connection(
            max_retries=0, reraise_as_library_errors=False
        )


def test_errors_that_are_no_connection_errors_are_not_retried() -> None:
    script = Script(KeyError("yours"))
    with pytest.raises(KeyError):
        script.connection().ensure_connection(**QUICK)
    assert len(script.hosts) == 1


def test_timeout_holds_and_shortens_the_attempt() -> None:
    script = Script(*failures(99))
    begin = time.monotonic()
    with pytest.raises(OperationalError):
        script.connection().ensure_connection(timeout=0.2, interval_start=30)
    assert 0.2 <= time.monotonic() - begin < 2
    assert max(script.timeouts) <= 0.2


def test_connect_timeout_is_what_was_set_after_an_attempt() -> None:
    connection = Script(*failures(1)).connection(connect_timeout=4)
    with pytest.raises(OperationalError):
        connection.ensure_connection(timeout=0.01, max_retries=0)
    assert connection.connect_timeout == 4


def test_transport_options_say_how_the_default_channel_connects() -> None:
    script = Script(*failures(9))
    options = {"max_retries": 2, **QUICK}
    with pytest.raises(OperationalError):
        _ = script.connection(transport_options=options).default_channel
    assert len(script.hosts) == 3
    assert options == {"max_retries": 2, **QUICK}


def test_all_alternates_are_tried_before_a_pause() -> None:
    script = Script(*failures(4))
    seconds: list[float] = []
    connection = script.connection("one;two;three")
    connection.ensure_connection(errback=lambda exc, pause: seconds.append(pause), **QUICK)
    assert script.hosts == ["one", "two", "three", "one", "two"]
    assert seconds == [0, 0, 0.01, 0]


def test_alternates_share_the_time_there_is() -> None:
    script = Script(*failures(2))
    script.connection("one;two").ensure_connection(timeout=2, **QUICK)
    assert script.timeouts[0] <= 1
    assert script.timeouts[1] <= 1


def test_hosts_beside_alternates_are_tried_again() -> None:
    script = Script(*failures(3))
    script.connection("first", alternates=["second"]).ensure_connection(**QUICK)
    assert script.hosts == ["first", "second", "first", "second"]


def test_custom_failover_strategy_and_its_end() -> None:
    script = Script(*failures(5))
    connection = script.connection("a;b;c", failover_strategy=lambda hosts: iter(hosts))
    connection.ensure_connection(**QUICK)
    assert script.hosts == ["a", "b", "c", "a", "b", "c"]


def test_alternates_do_not_keep_what_another_url_said() -> None:
    connection = Connection("memory://u:p@a;memory://x:y@b:2/v;memory://c")
    seen = []
    for _ in range(4):
        seen.append(connection.as_uri(include_password=True))
        connection.maybe_switch_next()
    assert seen == [
        "memory://u:p@a//",
        "memory://x:y@b:2/v",
        "memory://c//",
        "memory://u:p@a//",
    ]


def test_bare_alternates_have_all_but_the_name_from_the_first() -> None:
    connection = Connection("memory://u:p@a:1/v;b")
    connection.maybe_switch_next()
    assert connection.as_uri(include_password=True) == "memory://u:p@b:1/v"


def test_completes_cycle() -> None:
    connection = Script().connection("a;b;c")
    assert [connection.completes_cycle(retries) for retries in range(6)] == [
        False, False, True, False, False, True,
    ]  # fmt: skip
    assert Script().connection().completes_cycle(0)


def test_release_is_final_until_used_again() -> None:
    script = Script()
    connection = script.connection()
    channel = connection.default_channel
    connection.declared_entities.add("queue")
    connection.release()
    connection.release()
    assert not connection.connected
    assert connection.connection is None
    assert channel.closed
    assert not script.open
    assert not connection.declared_entities
    with pytest.raises(RecoverableConnectionError):
        connection.channel()
    assert connection.ensure_connection().connected


def test_collect_leaves_a_connection_to_connect_again() -> None:
    script = Script()
    connection = script.connection()
    connection.connect()
    connection.collect(socket_timeout=0.1)
    assert not script.open
    assert connection.connection is not None


@pytest.mark.parametrize("ending", ["release", "collect"])
def test_errors_while_ending_are_not_raised(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Script().connection()
    connection.connect()

    def fail(link: object) -> None:
        raise Unreachable("gone already")

    monkeypatch.setattr(connection.transport, "close_connection", fail)
    getattr(connection, ending)()
    assert not connection.connected


def test_a_closed_default_channel_is_opened_anew() -> None:
    connection = Script().connection()
    first = connection.default_channel
    first.close()
    assert connection.default_channel is not first


def test_threads_that_connect_at_once_make_one_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = Script()
    connection = script.connection()
    establish = connection.transport.establish_connection
    entered, second = Event(), Event()

    def slowly() -> object:
        (second if entered.is_set() else entered).set()
        second.wait(0.1)  # only a connection that lets two in would set it
        return establish()

    monkeypatch.setattr(connection.transport, "establish_connection", slowly)
    threads = [Thread(target=connection.connect) for _ in range(16)]
    threads[0].start()
    assert entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(script.hosts) == 1


def test_library_errors() -> None:
    connection = Script().connection()
    for error in (Unreachable("x"), Refused("y")):
        with pytest.raises(OperationalError, match=str(error)), \
                connection._reraise_as_library_errors():  # fmt: skip
            raise error
    with pytest.raises(KeyError), connection._reraise_as_library_errors():
        raise KeyError("yours")


#: Errors, and as what ensure() lets them out on a transport: as they are or as OperationalError.
AS_IT_IS = "as it is"
REPORTED = [
    ("amqp://", NotFound, AS_IT_IS),
    ("amqp://", AccessRefused, AS_IT_IS),
    ("amqp://", ChannelError, AS_IT_IS),
    ("amqp://", NotAllowed, AS_IT_IS),
    ("amqp://", ResourceLocked, "OperationalError"),
    ("amqp://", MessageNacked, "OperationalError"),
    ("amqp://", ConnectionForced, "OperationalError"),
    ("amqp://", OSError, "OperationalError"),
    ("memory://", NotFound, "OperationalError"),
    ("memory://", NotAllowed, "OperationalError"),
    ("memory://", ConnectionForced, "OperationalError"),
    ("memory://", OSError, AS_IT_IS),
    ("explicit://", Unreachable, "OperationalError"),
    ("explicit://", Refused, "OperationalError"),
    ("explicit://", ConnectionForced, AS_IT_IS),
    ("explicit://", ResourceLocked, AS_IT_IS),
    ("explicit://", NotFound, AS_IT_IS),
    ("plain://", Unreachable, "OperationalError"),
    ("plain://", Refused, "OperationalError"),
    ("plain://", NotFound, AS_IT_IS),
    ("plain://", ConnectionForced, AS_IT_IS),
]


class Plain(Transport):
    connection_errors = (Unreachable,)
    channel_errors = (Refused,)


@pytest.mark.parametrize(("url", "error", "seen"), REPORTED)
def test_which_errors_ensure_reports_as_operational(
    url: str, error: type[Exception], seen: str
) -> None:
    transport = {"explicit://": ScriptedTransport, "plain://": Plain}.get(url)
    connection = Connection("h", transport=transport) if transport else Connection(url)

    def fail() -> None:
        raise error("no")

    with pytest.raises(Exception, match="no") as caught:
        connection.ensure(None, fail, max_retries=0)()
    assert type(caught.value) is (error if seen == AS_IT_IS else OperationalError)


def test_a_transport_of_nobodys_may_lack_the_recoverable_errors() -> None:
    class Foreign:
        can_parse_url = False
        connection_errors = (Unreachable,)
        channel_errors = (Refused,)

        def __init__(self, client: Any) -> None:
            pass

    connection = Connection("h", transport=Foreign)
    assert connection.recoverable_connection_errors == (Unreachable, Refused)
    assert connection.recoverable_channel_errors == ()


def test_errors_of_a_transport_that_names_only_its_own() -> None:
    class Lost(Exception):
        pass

    class Minimal(Transport):
        connection_errors = (Lost,)

    connection = Connection("h", transport=Minimal)
    assert connection.recoverable_connection_errors[0] is RecoverableConnectionError
    assert Lost in connection.recoverable_connection_errors


def test_polling_interval_of_the_transport_can_be_set() -> None:
    connection = Connection("memory://")
    connection.transport.polling_interval = 0.05
    connection.connect()
    assert connection.transport.polling_interval == 0.05


def test_drain_events_times_out() -> None:
    with Connection("memory://") as connection, pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.01)
