"""Published kombu and ours on one MongoDB database, both ways."""

from __future__ import annotations

from uuid import uuid4

import pytest

from t.interop.both_ways import (
    FanoutBothWays,
    PrioritiesBothWays,
    ReadsAndWrites,
    RemoteControlBothWays,
    SharedBindings,
    Site,
)
from t.services.pool import Servers


@pytest.mark.server("mongodb")
class TestMongoDB(
    ReadsAndWrites, SharedBindings, PrioritiesBothWays, FanoutBothWays, RemoteControlBothWays
):
    @pytest.fixture
    def site(self, servers: Servers) -> Site:
        url = servers.env("mongodb")["MONGODB_URL"].rpartition("/")[0]
        return Site(f"{url}/interop_{uuid4().hex[:8]}")
