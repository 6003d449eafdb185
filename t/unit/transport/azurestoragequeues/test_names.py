"""Queue names and URLs of Azure Storage Queues."""

from __future__ import annotations

import re

import pytest

from kombu import Connection
from kombu.transport.azurestoragequeues.names import storage_name
from kombu.transport.azurestoragequeues.urls import credential_of, read_url

ACCEPTED = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*")


@pytest.mark.parametrize(
    ("name", "prefix", "stored"),
    [
        ("a.b", "", "a-b"),
        ("a_b", "", "a-b"),
        ("a:b@c", "", "a-b-c"),
        ("my.queue_1", "", "my-queue-1"),
        ("q2", "pre.", "pre-q2"),
        ("celery@host.celery.pidbox", "", "celery-host-celery-pidbox"),
    ],
)
def test_as_published(name: str, prefix: str, stored: str) -> None:
    assert storage_name(name, prefix) == stored


NAMES = [
    "A.b",
    "a b",
    "a..b",
    ".a",
    "a",
    "",
    "\u00e9",
    "\u961f\u5217",
    "x" * 64,
    "x" * 65,
    "\ud800",
]


def test_names_that_azure_refuses_get_one_of_their_own() -> None:
    stored = [storage_name(name) for name in NAMES]
    assert all(ACCEPTED.fullmatch(name) for name in stored), stored
    assert len(set(stored)) == len(NAMES)


@pytest.mark.parametrize(
    ("url", "credential", "account_url"),
    [
        ("KEY@http://h", "KEY", "http://h"),
        (
            "ke/y==@https://acct.queue.core.windows.net",
            "ke/y==",
            "https://acct.queue.core.windows.net",
        ),
        (
            "KEY@http://127.0.0.1:10001/devstoreaccount1",
            {"account_name": "devstoreaccount1", "account_key": "KEY"},
            "http://127.0.0.1:10001/devstoreaccount1",
        ),
    ],
)
def test_urls(url: str, credential: object, account_url: str) -> None:
    address = read_url(f"azurestoragequeues://{url}")
    assert address.account_url == account_url
    assert credential_of(address) == credential
    assert "KEY" not in repr(address)


def test_a_shared_access_signature_is_one() -> None:
    address = read_url("azurestoragequeues://sv=2020&sig=a%2Bb@https://a.queue.core.windows.net")
    assert credential_of(address).signature == "sv=2020&sig=a+b"


@pytest.mark.parametrize("name", ["DefaultAzureCredential", "ManagedIdentityCredential"])
def test_identities(name: str) -> None:
    url = f"azurestoragequeues://{name}@https://a.queue.core.windows.net"
    assert type(credential_of(read_url(url))).__name__ == name
    assert Connection(url).as_uri() == url


@pytest.mark.parametrize("url", ["", "nokey", "@http://h", "secret@"])
def test_a_url_that_lacks_a_part_is_explained(url: str) -> None:
    with pytest.raises(ValueError, match="KEY@ACCOUNT_URL") as caught:
        Connection(f"azurestoragequeues://{url}").as_uri()
    assert "secret" not in str(caught.value)


def test_uri_hides_the_key() -> None:
    connection = Connection("azurestoragequeues://ke/y==@https://a.queue.core.windows.net")
    assert connection.as_uri() == "azurestoragequeues://**@https://a.queue.core.windows.net"
    assert connection.as_uri(include_password=True) == connection.hostname
