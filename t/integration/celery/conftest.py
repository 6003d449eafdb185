from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from t.integration.celery.workers import Site
from t.services.pool import Servers

BROKERS = {"redis": ("redis", "REDIS_URL"), "amqp": ("rabbitmq", "RABBITMQ_URL")}


@pytest.fixture(scope="session")
def redis_results(servers: Servers) -> str:
    """A result backend in a Redis database that no broker uses."""
    return servers.env("redis")["REDIS_URL"].rpartition("/")[0] + "/5"


@pytest.fixture(scope="session")
def broker_url(servers: Servers) -> Callable[[str], str]:
    def url(broker: str) -> str:
        server, variable = BROKERS[broker]
        return servers.env(server)[variable]

    return url


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Sites whose programs are gone after the test."""
    made: list[Site] = []

    def make(*arguments: Any, **options: Any) -> Site:
        made.append(Site(tmp_path, *arguments, **options))
        return made[-1]

    yield make
    for site in made:
        site.close()
