from __future__ import annotations

import copy
import pickle
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu import Connection
from kombu.connection import failover_strategies
from kombu.connection.address import split_hosts
from kombu.transport import TRANSPORT_ALIASES
from kombu.utils.url import as_url

ATTRIBUTES = ("transport_cls", "hostname", "port", "userid", "password", "virtual_host")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("memory://", ("memory", None, None, None, None, "/")),
        ("memory://localhost/vh", ("memory", "localhost", None, None, None, "vh")),
        ("memory://u:p@h:1/vh", ("memory", "h", 1, "u", "p", "vh")),
        ("memory://u:p@h:1/%2Fvh", ("memory", "h", 1, "u", "p", "/vh")),
        ("memory://u:p%40ss%3A%2F@h/v%2Fh", ("memory", "h", None, "u", "p@ss:/", "v/h")),
        ("memory://:pw@h", ("memory", "h", None, None, "pw", "/")),
        ("memory://h//", ("memory", "h", None, None, None, "/")),
        ("MEMORY://h", ("memory", "h", None, None, None, "/")),
        ("memory://[::1]:6379/1", ("memory", "::1", 6379, None, None, "1")),
        ("memory://h:0", ("memory", "h", None, None, None, "/")),
    ],
)
def test_attributes_of_a_url(url: str, expected: tuple) -> None:
    connection = Connection(url)
    assert tuple(getattr(connection, name) for name in ATTRIBUTES) == expected


def test_url_wins_over_keywords_and_keywords_fill_its_gaps() -> None:
    connection = Connection("memory://u:p@h/1", userid="other", port=99, virtual_host="5")
    assert (connection.userid, connection.port, connection.virtual_host) == ("u", 99, "1")


def test_transport_given_by_code_wins_over_the_scheme() -> None:
    assert Connection("amqp://h", transport="memory").transport_cls == "memory"
    by_path = Connection("h", transport="kombu.transport.memory:Transport")
    assert by_path.transport.driver_type == "memory"


@pytest.mark.parametrize("form", ["memory://a:1;memory://b:2", ["memory://a:1", "memory://b:2"]])
def test_alternates(form: object) -> None:
    connection = Connection(form)
    assert connection.alt == ["memory://a:1", "memory://b:2"]
    assert connection.as_uri() == "memory://:**@a:1//"


def test_empty_alternates_are_none() -> None:
    assert split_hosts("memory://a; ;", None) == ("memory://a", ["memory://a"])


@pytest.mark.parametrize("number", ["a", "66666", "-1"])
def test_port_that_is_none(number: str) -> None:
    with pytest.raises(ValueError):
        Connection(f"memory://h:{number}")


def test_heartbeat_and_timeout_in_the_query_are_numbers() -> None:
    connection = Connection("memory://h?heartbeat=10&connect_timeout=3", heartbeat=5)
    assert (connection.heartbeat, connection.connect_timeout) == (10.0, 3.0)


def test_other_arguments_in_the_query_are_transport_options() -> None:
    connection = Connection("memory://h?lease=3", transport_options={"strict": True})
    assert connection.transport_options == {"strict": True, "lease": "3"}


def test_given_transport_options_stay_as_they_are() -> None:
    given_options = {"strict": True}
    Connection("memory://h?lease=3", transport_options=given_options)
    assert given_options == {"strict": True}


@pytest.mark.parametrize("name", ["transport_options", "alternates", "failover_strategy"])
def test_arguments_that_only_code_may_give(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        Connection(f"memory://h?{name}=x")


@pytest.mark.parametrize(
    "url",
    ["os.path://h", "os:path+x://h", "os.path+x://h", "memory://h;this.module://x"],
)
def test_a_url_imports_no_module_of_its_own(url: str) -> None:
    with pytest.raises(ValueError, match="Invalid transport scheme"):
        connection = Connection(url)
        connection.maybe_switch_next()


def test_a_url_loads_no_credential_provider() -> None:
    import sys

    sys.modules.pop("this", None)
    with pytest.raises(ValueError, match="credential_provider"):
        Connection("memory://h?credential_provider=this.zen")
    assert "this" not in sys.modules


def test_a_credential_provider_that_is_loaded_may_stand_in_a_url() -> None:
    connection = Connection("memory://h?credential_provider=collections.OrderedDict")
    assert type(connection.credential_provider).__name__ == "OrderedDict"


def test_registered_aliases_may_have_dots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSPORT_ALIASES, "my.own", "kombu.transport.memory:Transport")
    assert Connection("my.own://h").transport.driver_type == "memory"


def test_misspelt_keyword_is_named() -> None:
    with pytest.warns(UserWarning, match="'pasword'.*'password'"):
        Connection("memory://", pasword="x")


def test_unknown_failover_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="round-robin"):
        Connection("memory://;memory://", failover_strategy="nope")
    # Of no use without alternates, and Celery's settings may hold anything.
    assert Connection("memory://", failover_strategy="nope").failover_strategy == "nope"
    assert set(failover_strategies) == {"round-robin", "shuffle"}


hosts = st.text(string.ascii_lowercase, min_size=1, max_size=9)
texts = st.text(string.ascii_letters + string.digits + "@:/%+ é;?#&", min_size=1, max_size=12)


@given(userid=texts, password=texts, port=st.integers(1, 65535), host=hosts)
def test_what_as_url_writes_is_read_back(userid: str, password: str, port: int, host: str) -> None:
    url = as_url("memory", host, port, userid, password, "vh")
    if ";" in url:  # separates alternates
        return
    connection = Connection(url)
    assert (connection.userid, connection.password) == (userid, password)
    assert (connection.hostname, connection.port) == (host, port)
    assert connection.as_uri(include_password=True) == url
    assert password == "**" or f":{password}@" not in connection.as_uri()


@pytest.mark.parametrize("remake", [copy.copy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_have_the_raw_values(remake: object) -> None:
    connection = Connection(
        "memory://u:secret@h:1/v;memory://u:s2@h2/v",
        heartbeat=3,
        transport_options={"strict": True},
    )
    again = remake(connection)  # type: ignore[operator]
    assert again.as_uri(include_password=True) == "memory://u:secret@h:1/v"
    assert again.info(include_password=True) == connection.info(include_password=True)
    again.maybe_switch_next()
    assert again.password == "s2"


def test_clone_with_changes() -> None:
    connection = Connection("memory://u:p@h:1/v")
    changed = connection.clone(hostname="other", heartbeat=7)
    assert changed.as_uri(include_password=True) == "memory://u:p@other:1/v"
    assert changed.heartbeat == 7.0


def test_clone_of_a_prefixed_url() -> None:
    connection = Connection("memory+socket://:pw@/run/a.sock?virtual_host=3")
    assert connection.hostname == "socket://:pw@/run/a.sock?virtual_host=3"
    clone = connection.clone()
    assert (clone.hostname, clone.uri_prefix) == (connection.hostname, "memory")
    assert clone.as_uri() == "memory+socket://:**@/run/a.sock"


def test_equal_connections_share_pools_and_others_do_not() -> None:
    def key(*args: object, **kwargs: object) -> object:
        return Connection(*args, **kwargs).__eqhash__()  # type: ignore[arg-type]

    assert key("memory://u:p@h/v") == key("memory://u:p@h/v")
    assert key("memory://u:p@h/v") != key("memory://u:q@h/v")
    assert key("memory://h", heartbeat=4) == key("memory://h")
    assert key("memory://h", ssl=True) != key("memory://h")
    assert key("memory://h") != key("memory://h;memory://i")
    assert "hunter2" not in repr(key("memory://u:hunter2@h/v;memory://u:hunter2@i"))


def test_alternates_come_before_a_sequence_of_hosts_and_after_a_text_of_them() -> None:
    listed = Connection(["memory://a", "memory://b"], alternates=["memory://c"])
    assert listed.hostname == "c"
    assert listed.alt == ["memory://c", "memory://a", "memory://b"]
    written = Connection("memory://a;memory://b", alternates=["memory://c"])
    assert written.hostname == "a"
    assert written.alt == ["memory://a", "memory://b", "memory://c"]


def test_info_says_that_amqps_is_encrypted_before_it_is_connected() -> None:
    assert Connection("amqps://h").info()["ssl"] is True
    assert Connection("amqps://h", ssl={"ca_certs": "x"}).info()["ssl"] == {"ca_certs": "x"}
    assert Connection("amqp://h").info()["ssl"] is False


def test_info_shows_the_prefix_and_the_query_of_a_host() -> None:
    def shown(*args: str, **kwargs: str) -> object:
        return Connection(*args, **kwargs).info()["hostname"]  # type: ignore[arg-type]

    assert shown("h", uri_prefix="zz") == "zz+h"
    assert shown(uri_prefix="zz") == "zz+localhost"
    url = "memory+socket:///run/a.sock?virtual_host=2"
    assert shown(url) == Connection(url).clone().info()["hostname"] == url
    secrets = "memory+socket://u:hunter2@/s?db=2&password=hunter2&sig=hunter2"
    assert shown(secrets) == "memory+socket://u:**@/s?db=2&password=**&sig=**"
    assert "hunter2" not in str(shown("memory+socket:///s?other=redis%3A//u%3Ahunter2%40h&db=2"))
