"""Published kombu and ours on the same Azure Storage Queues, both ways.

5.7 has no fanout and no priorities there, and keeps bindings to its own process. The server is
Azurite.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from t.interop.both_ways import ReadsAndWrites, Site
from t.interop.published import Published
from t.peers import published_python
from t.services.pool import Servers


@pytest.mark.server("azurite")
class TestAzureStorageQueues(ReadsAndWrites):
    published_keeps_order = False

    @pytest.fixture
    def published(self, site: Site, tmp_path: Path) -> Published:
        interpreter = published_python("azure-storage-queue", "azure-identity")
        return Published(interpreter, site.url, site.published_options, tmp_path)

    @pytest.fixture
    def site(self, servers: Servers) -> Site:
        published = {"queue_name_prefix": f"{uuid4().hex[:8]}."}
        url = servers.env("azurite")["AZURE_QUEUES_URL"]
        return Site(url, {**published, "lease": 2, "polling_interval": 0.2}, published)
