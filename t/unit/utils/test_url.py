"""URLs of brokers."""

from __future__ import annotations

import ssl
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kombu.utils.url import (
    as_url,
    maybe_sanitize_url,
    parse_ssl_cert_reqs,
    parse_url,
    sanitize_url,
    url_to_parts,
)


def parsed(
    transport, hostname=None, port=None, userid=None, password=None, virtual_host=None, **query
):
    return {
        "transport": transport,
        "hostname": hostname,
        "port": port,
        "userid": userid,
        "password": password,
        "virtual_host": virtual_host,
        **query,
    }


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        ("amqp://", parsed("amqp")),
        ("amqp://guest:pw@localhost:5672//", parsed("amqp", "localhost", 5672, "guest", "pw", "/")),
        ("amqp://u:p%40ss%3A%2F@h/v%2Fh", parsed("amqp", "h", None, "u", "p@ss:/", "v/h")),
        ("amqp://:pw@h:0", parsed("amqp", "h", 0, None, "pw")),
        ("AMQP://HoST/V", parsed("amqp", "host", virtual_host="V")),
        ("amqp://[::1]:5672//", parsed("amqp", "::1", 5672, virtual_host="/")),
        ("amqp://h//?heartbeat=10", parsed("amqp", "h", virtual_host="/", heartbeat="10")),
        ("redis://h?a=1&a=%202&b=", parsed("redis", "h", a=" 2")),
        ("redis+socket:///run/r.sock", parsed("redis+socket", virtual_host="run/r.sock")),
        ("sqs://AK:SE%2FC@h:80", parsed("sqs", "h", 80, "AK", "SE/C")),
        (
            "rediss://h/0?ssl_cert_reqs=CERT_OPTIONAL&ssl_ca_certs=/ca.pem&ssl_check_hostname=False",
            parsed(
                "rediss",
                "h",
                virtual_host="0",
                ssl={
                    "ssl_cert_reqs": ssl.CERT_OPTIONAL,
                    "ssl_ca_certs": "/ca.pem",
                    "ssl_check_hostname": False,
                },
            ),
        ),
        ("localhost", parsed("", "alhost")),
        ("", parsed("")),
    ],
)
def test_parse(url, arguments):
    assert parse_url(url) == arguments


@pytest.mark.parametrize(
    "url",
    [
        "amqp://u:s3cr/et@h",
        "amqp://u:s3cr?et@h",
        "amqp://u:s3cr#et@h",
        "amqp://u:s3cret@h:99999",
        "amqp://u:p@h:-1",
        "amqp://u:p@h:5672x",
    ],
)
@pytest.mark.parametrize("use", [parse_url, sanitize_url, maybe_sanitize_url, url_to_parts])
def test_bad_port_is_named_without_showing_a_password(url, use):
    with pytest.raises(ValueError, match="port in the URL is no number from 0 to 65535") as failure:
        use(url)
    assert "s3cr" not in str(failure.value)
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__


def test_open_bracket_is_an_error():
    with pytest.raises(ValueError, match="IPv6"):
        parse_url("amqp://[::1")


@pytest.mark.parametrize("query", ["hostname=x", "virtual_host=3", "ssl=1&ssl_keyfile=k"])
def test_query_must_not_contradict_the_url(query):
    with pytest.raises(TypeError, match=query.split("=")[0]):
        parse_url(f"redis://h/1?{query}")


def test_cert_reqs():
    assert (
        parse_ssl_cert_reqs("required") is parse_ssl_cert_reqs("CERT_REQUIRED") is ssl.CERT_REQUIRED
    )
    assert parse_ssl_cert_reqs("none") is ssl.CERT_NONE
    with pytest.raises(KeyError, match="bogus"):
        parse_url("rediss://h?ssl_cert_reqs=bogus")


@pytest.mark.parametrize(
    ("args", "kwargs", "url"),
    [
        (("amqp",), {}, "amqp:///"),
        (("amqp", "h", 5672, "u", "p@ss", "v/h"), {}, "amqp://u:p%40ss@h:5672/v/h"),
        (("amqp", "h", 5672, "u", "p", "vh"), {"sanitize": True}, "amqp://u:**@h:5672/vh"),
        (
            ("amqp", "h", 5672, "u", "p", "vh"),
            {"sanitize": True, "mask": None},
            "amqp://u:@h:5672/vh",
        ),
        (("amqp", "h", None, None, "p"), {}, "amqp://:p@h/"),
    ],
)
def test_as_url(args, kwargs, url):
    assert as_url(*args, **kwargs) == url


def test_sanitize():
    assert sanitize_url("amqp://u:p%40@h/v?x=1") == "amqp://u:**@h/v"
    assert maybe_sanitize_url("redis://:p@h/0") == "redis://:**@h/0"
    assert maybe_sanitize_url("foo") == "foo"
    assert maybe_sanitize_url(None) is None


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(
    host=st.text(string.ascii_lowercase + string.digits + "-.", min_size=1),
    port=st.none() | st.integers(1, 65535),
    user=st.none() | names,
    password=st.none() | names,
    path=st.none() | st.text(string.ascii_letters + "/_-.", min_size=1),
)
@example(host="h", port=None, user="a:b@c/d?e#f%", password="%41:@/?#[]", path="/")
def test_written_url_parses_back(host, port, user, password, path):
    url = as_url("amqp", host, port, user, password, path)
    assert url_to_parts(url) == ("amqp", host, port, user, password, path, {})


@given(password=names.filter(lambda text: len(text) > 3 and not set(text) <= set("*")))
@example(password="pa/ss@wo:rd?#")
def test_no_password_survives_sanitizing(password):
    url = as_url("amqp", "h", 1, "u", password, "v")
    assert sanitize_url(url) == "amqp://u:**@h:1/v"
