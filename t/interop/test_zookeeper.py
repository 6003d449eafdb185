"""Published kombu and ours on one ZooKeeper tree, both ways.

5.7 has no fanout on ZooKeeper and keeps bindings to its own process.
"""

from __future__ import annotations

from uuid import uuid4

import pytest

from t.interop.both_ways import PrioritiesBothWays, ReadsAndWrites, Site
from t.services.pool import Servers


@pytest.mark.server("zookeeper")
class TestZooKeeper(ReadsAndWrites, PrioritiesBothWays):
    @pytest.fixture
    def site(self, servers: Servers) -> Site:
        url = servers.env("zookeeper")["ZOOKEEPER_URL"]
        return Site(f"{url}/interop-{uuid4().hex[:8]}", {"session_timeout": 4})
