"""Key names, URLs, options and marks: what needs no server."""

from __future__ import annotations

import json
import ssl
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import exceptions
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.crc import key_slot

from kombu.transport.options import UnknownOptionWarning
from kombu.transport.redis import Transport, get_redis_error_classes
from kombu.transport.redis.claims import history, returned
from kombu.transport.redis.errors import ERRORS, mapped, refined
from kombu.transport.redis.keys import Keyspace
from kombu.transport.redis.link import pack
from kombu.transport.redis.options import RedisOptions
from kombu.transport.redis.target import target_of
from kombu.transport.redis.urls import (
    InsecureConnectionWarning,
    certificate_policy,
    connection_parameters,
    database,
    sentinel_addresses,
)
from kombu.transport.virtual.envelope import parse


def client(**given: Any) -> SimpleNamespace:
    fields: dict[str, Any] = {
        "hostname": "h",
        "port": None,
        "userid": None,
        "password": None,
        "virtual_host": "/",
        "ssl": False,
        "connect_timeout": 5,
        "transport_cls": "redis",
        "alt": [],
        "credential_provider": None,
    }
    return SimpleNamespace(**{**fields, **given})


def parameters(options: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    return connection_parameters(client(**given), RedisOptions.parse(options or {}, "redis"))


# ---- keys


def test_published_names() -> None:
    keys = Keyspace(prefix="p_")
    assert keys.lists("q") == ["p_q", "p_q\x06\x163", "p_q\x06\x166", "p_q\x06\x169"]
    assert keys.bookkeeping("q")[:2] == ("p_unacked", "p_unacked_index")
    assert keys.bindings("x") == "p__kombu.binding.x"
    assert keys.permanent_bindings("x") == "p__kombu.binding_permanent.x"
    assert keys.deadlines == "p__kombu.binding_deadlines"


@pytest.mark.parametrize(
    ("priority", "step"), [(0, 0), (1, 0), (3, 3), (5, 3), (6, 6), (9, 9), (-1, 0), (255, 9)]
)
def test_priorities_go_to_the_largest_step_not_above(priority: int, step: int) -> None:
    assert Keyspace().step_of(priority) == step


@given(queue=st.text(min_size=1), prefix=st.text(alphabet="abc:_.", max_size=4))
def test_in_a_cluster_all_keys_of_a_queue_share_a_slot(queue: str, prefix: str) -> None:
    queue = queue.encode("utf-8", "ignore").decode()
    keys = Keyspace(prefix=prefix, tagged=True)
    names = [
        *keys.lists(queue),
        *keys.bookkeeping(queue),
        *(keys.of_queue(kind, queue) for kind in ("idle", "sentry", "delayed", "queue")),
    ]
    assert len({key_slot(name.encode()) for name in names}) == 1
    before, after = keys.around("deleted")
    if not set("{}%") & set(queue) and queue:
        assert before + queue + after == keys.of_queue("deleted", queue)


@given(st.text(), st.text())
def test_two_queues_never_share_a_key_in_a_cluster(one: str, other: str) -> None:
    keys = Keyspace(tagged=True)
    if one != other:
        assert set(keys.lists(one)).isdisjoint(keys.lists(other))


@given(st.lists(st.one_of(st.text(), st.binary(), st.integers()), min_size=1))
def test_commands_are_packed_as_the_protocol_says(command: list[Any]) -> None:
    data = pack(command)
    head, _, rest = data.partition(b"\r\n")
    assert head == b"*%d" % len(command)
    for value in command:
        raw = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        length, _, rest = rest.partition(b"\r\n")
        assert length == b"$%d" % len(raw)
        assert rest[: len(raw) + 2] == raw + b"\r\n"
        rest = rest[len(raw) + 2 :]
    assert rest == b""


# ---- URLs


@pytest.mark.parametrize(
    ("given_as", "number"), [(None, 0), ("", 0), ("/", 0), ("3", 3), ("/4", 4), (5, 5)]
)
def test_databases(given_as: Any, number: int) -> None:
    assert database(given_as) == number


@pytest.mark.parametrize("text", ["notint", "1.5", "-1", "0x1"])
def test_a_database_that_is_no_number_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        database(text)


def test_nothing_waits_for_ever_by_default() -> None:
    found = parameters()
    assert found["socket_timeout"] > 0
    assert found["socket_connect_timeout"] == 5
    assert found["socket_keepalive"] is True
    assert found["connection_class"] is Connection
    assert parameters({"socket_timeout": "7"})["socket_timeout"] == 7.0


def test_tls_is_verified_unless_told_otherwise() -> None:
    for secure in (
        {"transport_cls": "rediss"},
        {"ssl": True},
        {"ssl": {}, "transport_cls": "rediss"},
    ):
        found = parameters(**secure)
        assert found["connection_class"] is SSLConnection
        assert found["ssl_cert_reqs"] == "required"
    with pytest.warns(InsecureConnectionWarning):
        found = parameters(ssl={"ssl_cert_reqs": ssl.CERT_NONE})
    assert found["ssl_cert_reqs"] == "none"
    assert found["ssl_check_hostname"] is False


@pytest.mark.parametrize("value", ["CERT_REQUIRED", "required", ssl.CERT_REQUIRED, 2])
def test_spellings_of_required(value: Any) -> None:
    assert certificate_policy(value) == "required"


def test_an_unknown_certificate_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="ssl_cert_reqs"):
        certificate_policy("perhaps")


def test_unix_sockets() -> None:
    found = parameters(hostname="socket://:p%40w@/run/redis.sock?virtual_host=3")
    assert found["connection_class"] is UnixDomainSocketConnection
    assert (found["path"], found["password"], found["db"]) == ("/run/redis.sock", "p@w", 3)


def test_urls_with_a_second_scheme() -> None:
    target = target_of(
        client(hostname="cluster://u:p%40w@node:7000/0?socket_timeout=5&ssl_cert_reqs=none")
    )
    assert target.kinds == {"cluster"}
    assert (target.hostname, target.port, target.userid, target.password) == (
        "node",
        7000,
        "u",
        "p@w",
    )
    assert target.options == {"socket_timeout": "5"}
    assert "p@w" not in repr(target)


def test_sentinels_of_all_urls() -> None:
    urls = ["sentinel://:pw@s1:26379/0", "sentinel://s2:26380", "sentinel://s3"]
    found = sentinel_addresses(client(hostname="s1", port=26379, alt=urls))
    assert found == [("s1", 26379), ("s2", 26380), ("s3", 26379)]


# ---- options


def test_options_have_the_published_defaults() -> None:
    options = RedisOptions()
    assert options.sep == "\x06\x16"
    assert options.priority_steps == (0, 3, 6, 9)
    assert (options.max_connections, options.health_check_interval) == (10, 25)
    assert options.lease_seconds == 60
    assert options.peer_patience == 3600
    assert Transport.Channel.visibility_timeout == 3600


def test_a_visibility_timeout_is_the_lease() -> None:
    options = RedisOptions.parse({"visibility_timeout": "30"}, "redis")
    assert options.lease_seconds == options.peer_patience == 30


def test_a_misspelt_option_is_pointed_out() -> None:
    with pytest.warns(UnknownOptionWarning, match="visibility_timeout"):
        RedisOptions.parse({"visibilty_timeout": 3}, "redis")


@pytest.mark.parametrize(
    "wrong", [{"priority_steps": []}, {"queue_order_strategy": "x"}, {"lease": "soon"}]
)
def test_a_bad_value_names_its_option(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        RedisOptions.parse(wrong, "redis")


# ---- what goes back


def test_what_returns_is_marked_as_published_and_counted() -> None:
    message = {
        "body": "b",
        "headers": {"a": 1},
        "properties": {"delivery_tag": "t", "delivery_info": {"exchange": "x"}},
    }
    once = parse(returned(message, "000000000000000100001/owner").encode())
    assert once is not None
    assert once["body"] == "b"
    assert once["headers"] == {"a": 1, "redelivered": True}
    assert once["properties"]["delivery_info"]["redelivered"] is True
    assert history(once) == (True, 1)
    twice = parse(returned(once, "000000000000000200001/owner").encode())
    assert twice is not None
    assert history(twice) == (True, 2)
    info = twice["properties"]["delivery_info"]
    assert info["x-claim-order"] == "000000000000000100001"
    assert message["headers"] == {"a": 1}


@pytest.mark.parametrize("raw", [b"x", b"[]", b"1", b"{}", b'{"properties": 1}', b"\xff", b"{"])
def test_what_is_no_message(raw: bytes) -> None:
    assert parse(raw) is None


@given(st.dictionaries(st.text(), st.text()))
def test_marks_leave_everything_else_alone(headers: dict[str, str]) -> None:
    headers.pop("redelivered", None)
    message = {"headers": headers, "properties": {"delivery_tag": "t"}}
    back = json.loads(returned(message))
    assert back["headers"].pop("redelivered") is True
    assert back["headers"] == headers


# ---- errors


def test_each_error_has_one_scope_and_none_is_a_builtin_but_oserror() -> None:
    connection, channel = get_redis_error_classes()
    assert not set(connection) & set(channel)
    assert KeyError not in connection
    for error in (
        exceptions.ReadOnlyError,
        exceptions.MasterDownError,
        exceptions.ClusterDownError,
    ):
        assert issubclass(error, ERRORS.recoverable_connection_errors)


@pytest.mark.parametrize(
    "text",
    [
        "MISCONF Redis is configured to save RDB snapshots",
        "BUSY Redis is busy running a script",
        "NOREPLICAS Not enough good replicas",
        "OOM command not allowed when used memory > 'maxmemory'",
    ],
)
def test_passing_refusals_are_recoverable_connection_errors(text: str) -> None:
    error = refined(exceptions.ResponseError(text))
    assert isinstance(error, ERRORS.recoverable_connection_errors)


def test_errors_are_chained_to_their_cause() -> None:
    cause = exceptions.ReadOnlyError("READONLY")
    with pytest.raises(ERRORS.recoverable_connection_errors) as caught, mapped("put"):
        raise cause
    assert caught.value.__cause__ is cause


def test_no_password_in_a_repr() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = parameters(password="hunter2secret")
    assert "hunter2secret" not in repr(target_of(client(password="hunter2secret")))
    assert found["password"] == "hunter2secret"
