"""A server that is missing is an error; only a named subset leaves one out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from t.services import REGISTRY, Service, ServiceError
from t.services.pool import Servers, named


@pytest.fixture
def absent() -> Iterator[str]:
    class Absent(Service):
        name = "absent"

        def missing(self) -> list[str]:
            return ["absentd"]

    yield "absent"
    del REGISTRY["absent"]


def test_missing_server_is_an_error_each_time(absent: str) -> None:
    servers = Servers()
    for _ in range(2):
        with pytest.raises(ServiceError, match=r"absentd.*python -m t\.services install absent"):
            servers.env(absent)


def test_all_unless_named() -> None:
    assert named(None) is named("") is named("all") is None
    assert not Servers(named("all")).excluded("redis")


def test_named_subset() -> None:
    servers = Servers(named("redis, rabbitmq"))
    assert not servers.excluded("redis")
    assert servers.excluded("mongodb")
    assert Servers(named("none")).excluded("redis")


def test_misspelt_server() -> None:
    with pytest.raises(ValueError, match="redsi"):
        named("redsi")
