"""Names and URLs of Azure Service Bus."""

from __future__ import annotations

import re

import pytest

from kombu import Connection
from kombu.transport.azureservicebus.names import entity_name
from kombu.transport.azureservicebus.urls import Address, read_url


@pytest.mark.parametrize(
    ("name", "entity"),
    [
        ("a.b", "a.b"),
        ("a_b", "a_b"),
        ("a-b", "a-b"),
        ("A:b", "A_b"),
        ("celery@host.celery.pidbox", "celery_host.celery.pidbox"),
    ],
)
def test_as_published(name: str, entity: str) -> None:
    assert entity_name(name) == entity


NAMES = ["x y", "\u00e9", "", ".a", "a.", "x" * 261, "\ud800"]


def test_names_that_the_service_refuses_get_one_of_their_own() -> None:
    entities = [entity_name(name) for name in NAMES]
    assert all(re.fullmatch(r"[A-Za-z0-9]([\w.-]{0,258}[A-Za-z0-9])?", e) for e in entities)
    assert len(set(entities)) == len(NAMES)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("pol:key@ns", ("ns.servicebus.windows.net", "pol", "key")),
        ("pol:ke/y=@ns.servicebus.windows.net", ("ns.servicebus.windows.net", "pol", "ke/y=")),
        ("pol:k@e.y@ns.example.net", ("ns.example.net", "pol", "k@e.y")),
        (
            "DefaultAzureCredential@ns",
            ("ns.servicebus.windows.net", "DefaultAzureCredential", None),
        ),
    ],
)
def test_urls(url: str, address: tuple[str, str, str | None]) -> None:
    read = read_url(f"azureservicebus://{url}")
    assert read == Address(*address)
    assert str(address[2]) not in repr(read)


@pytest.mark.parametrize("url", ["", "nocolon@ns", "pol:secret@", "pol:@ns", ":secret@ns"])
def test_a_url_that_lacks_a_part_is_explained(url: str) -> None:
    with pytest.raises(ValueError, match="POLICY:KEY@NAMESPACE") as caught:
        Connection(f"azureservicebus://{url}").as_uri()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("pol:key@ns", "pol:**@ns.servicebus.windows.net"),
        ("pol:ke/y=@ns.servicebus.windows.net", "pol:**@ns.servicebus.windows.net"),
        ("pol:k@e.y@ns.example.net", "pol:**@ns.example.net"),
        ("pol:key@127.0.0.1:5672", "pol:**@127.0.0.1:5672"),
    ],
)
def test_uri_hides_the_key(url: str, shown: str) -> None:
    connection = Connection(f"azureservicebus://{url}")
    assert connection.as_uri() == f"azureservicebus://{shown}"
    key = url.partition(":")[2].rpartition("@")[0]
    assert key not in repr(connection)
    assert key not in repr(connection.info())
    assert key in connection.as_uri(include_password=True)
