"""Published kombu and ours on the same PGMQ queues, both ways.

The server has PGMQ's functions without the extension, which 5.7 is told not to create. 5.7 knows
no priorities there; what it holds when it ends returns after its visibility timeout.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from t.interop.both_ways import (
    FanoutBothWays,
    ReadsAndWrites,
    SharedBindings,
    Site,
)
from t.interop.published import Published
from t.peers import published_python
from t.services.pool import Servers


@pytest.mark.server("postgres")
class TestPgmq(ReadsAndWrites, SharedBindings, FanoutBothWays):
    @pytest.fixture
    def published(self, site: Site, tmp_path: Path) -> Published:
        interpreter = published_python("pgmq", "psycopg[binary]")
        return Published(interpreter, site.url, site.published_options, tmp_path)

    @pytest.fixture
    def site(self, servers: Servers) -> Site:
        shared = {"queue_name_prefix": f"i{uuid4().hex[:6]}_"}
        published = {
            **shared,
            "init_extension": False,
            "wait_time_seconds": 1,
            "visibility_timeout": 2,
        }
        return Site(servers.env("postgres")["PGMQ_URL"], {**shared, "lease": 2}, published)
