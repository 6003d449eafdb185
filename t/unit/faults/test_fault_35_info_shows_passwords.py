"""Fault 35: ``Connection.info()`` shows passwords."""

from __future__ import annotations

import pickle

import pytest

from kombu import Connection

SECRET = "hunter2"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_secrets_are_masked_everywhere() -> None:
    connection = Connection(
        f"memory://user:{SECRET}@one/v;memory://user:{SECRET}@two/v",
        transport_options={
            "sentinel_kwargs": {"password": SECRET},
            "token": SECRET,
            "predefined_queues": {"a": {"secret_access_key": SECRET, "url": "http://q"}},
            "urls": [f"redis://:{SECRET}@three/0"],
            "global_keyprefix": "kept",
            "unacked_key": "kept too",
        },
    )
    shown = connection.info()
    assert SECRET not in repr(shown)
    assert SECRET not in repr(connection)
    assert shown["transport_options"]["global_keyprefix"] == "kept"
    assert shown["transport_options"]["unacked_key"] == "kept too"
    assert shown["userid"] == "user"


def test_hostname_of_a_transport_with_urls_of_its_own() -> None:
    connection = Connection(f"memory+postgresql://u:{SECRET}@h/db")
    assert SECRET not in repr(connection.info())
    assert SECRET not in connection.as_uri()


def test_url_that_can_not_be_read_is_masked_too() -> None:
    connection = Connection(f"memory+odd://u:{SECRET}@h1:1,h2:2/db")
    assert SECRET not in repr(connection.info())
    assert SECRET not in connection.as_uri()


@pytest.mark.parametrize("key", ["Key+/w==", "1/2=", "k:e@y/"])
def test_a_key_in_front_of_an_azure_account(key: str) -> None:
    url = f"azurestoragequeues://{key}@https://a.queue.core.windows.net"
    for connection in (Connection(url), Connection([url, url]), Connection(f"memory://;{url}")):
        for shown in (repr(connection.info()), connection.as_uri(), repr(connection)):
            assert key.lower() not in shown.lower()


def test_raw_values_by_explicit_accessor_and_in_copies() -> None:
    connection = Connection(f"memory://u:{SECRET}@h/v")
    assert connection.info(include_password=True)["password"] == SECRET
    assert connection.clone().password == SECRET
    assert pickle.loads(pickle.dumps(connection)).password == SECRET
