"""The conformance suite on SQL databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.sqlalchemy import Transport
from t.integration.sqlalchemy.databases import new_database
from t.services.pool import Servers

#: Seconds after which a killed consumer's messages return.
LEASE = 1.0


class TestSQLite(TransportConformance):
    features = Transport.features

    @pytest.fixture
    def harness(self, servers: Servers, tmp_path: Path) -> Iterator[Harness]:
        url = new_database("sqlite", servers, tmp_path)
        with Harness(f"sqla+{url}", transport_options={"lease": LEASE}, lease=LEASE) as harness:
            yield harness


@pytest.mark.server("postgres")
class TestPostgreSQL(TransportConformance):
    features = Transport.features

    @pytest.fixture(scope="class")
    def url(self, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> str:
        return new_database("postgresql", servers, tmp_path_factory.mktemp("unused"))

    @pytest.fixture
    def harness(self, url: str, servers: Servers) -> Iterator[Harness]:
        options = {"lease": LEASE}
        with Harness(
            url,
            transport_options=options,
            lease=LEASE,
            restart=servers.service("postgres").restart,
        ) as harness:
            yield harness


@pytest.mark.server("mariadb")
class TestMariaDBStrict(TransportConformance):
    features = Transport.features
    deviations = {"test_large_body": "the published column is a TEXT: 64 KB; more is refused"}
    drop_in = False

    @pytest.fixture(scope="class")
    def url(self, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> str:
        return new_database("mariadb", servers, tmp_path_factory.mktemp("unused"))

    @pytest.fixture
    def harness(self, url: str) -> Iterator[Harness]:
        options = {"lease": LEASE}
        with Harness(f"sqla+{url}", transport_options=options, lease=LEASE, strict=True) as harness:
            yield harness
