"""Names as PGMQ writes them, as recorded from the published kombu 5.7.0."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu import Connection
from kombu.transport.pgmq import Transport
from kombu.transport.pgmq.names import LONGEST, queue_name, segment, topic_pattern


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("a.b", "a_b"),
        ("a_b", "a_b"),
        ("a-b", "a_b"),
        ("A:b", "A_b"),
        ("celery@host.celery.pidbox", "celery_host_celery_pidbox"),
        ("x y", "x y"),
        ("é", "é"),
    ],
)
def test_queue_names(name: str, stored: str) -> None:
    assert queue_name(name) == stored


def test_a_prefix_goes_first() -> None:
    assert queue_name("q", "app.") == "app_q"


@given(st.text(st.characters(codec="utf-8"), max_size=120))
def test_names_fit(name: str) -> None:
    stored = queue_name(name)
    assert len(stored.encode()) <= LONGEST
    assert queue_name(stored) == stored


@pytest.mark.parametrize(
    ("exchange", "word"),
    [
        ("x", "x"),
        ("a.b", "a-d-b"),
        ("a-b", "a--b"),
        ("a_b", "a_b"),
        ("a*b", "a-s-b"),
        ("a#b", "a-h-b"),
        ("a b", "a-x20-b"),
        ("é", "-xe9-"),
        ("", "_"),
        ("celery.pidbox", "celery-d-pidbox"),
    ],
)
def test_exchanges_as_one_word(exchange: str, word: str) -> None:
    assert segment(exchange) == word


def test_patterns_of_bindings() -> None:
    assert topic_pattern("ex", "fanout", "ignored") == "kombu.fanout.ex"
    assert topic_pattern("ex", "topic", "a.*.#") == "kombu.topic.ex.a.*.#"
    assert topic_pattern("ex", "direct", "a") is None
    assert topic_pattern("ex", "topic", "a..b") is None
    assert topic_pattern("ex", "topic", "a b") is None


def test_recorded_attributes() -> None:
    assert Transport.default_port == 5432
    assert (Transport.driver_type, Transport.driver_name) == ("pgmq", "pgmq")
    assert not Transport.can_parse_url
    assert Transport.Channel.supports_fanout
    assert Transport.as_uri("pgmq://u:secret@h/d") == "pgmq://u:**@h/d"


def test_a_server_that_is_not_there_is_a_connection_error() -> None:
    connection = Connection("pgmq://user:secret@127.0.0.1:1/name", connect_timeout=2)
    with pytest.raises(connection.recoverable_connection_errors) as caught:
        connection.connect()
    assert "secret" not in str(caught.value)
