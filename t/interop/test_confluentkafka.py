"""Published kombu and ours in the same Kafka topics and groups, both ways (server: Tansu).

5.7 has no fanout on Kafka, keeps bindings to its own process and can't purge.
"""

from __future__ import annotations

from typing import Any

import pytest

from kombu import Queue
from t.integration.kafka.settings import TANSU
from t.interop.both_ways import ReadsAndWrites, Site, received
from t.interop.published import Published
from t.services.pool import Servers


@pytest.mark.server("kafka")
class TestKafka(ReadsAndWrites):
    @pytest.fixture
    def site(self, servers: Servers) -> Site:
        return Site(servers.env("kafka")["KAFKA_URL"], TANSU, TANSU)

    def test_published_counts_purges_and_deletes_what_ours_wrote(
        self, published: Published, connection: Any, name: str
    ) -> None:
        """Known fault 19: 5.7 raises NotImplementedError; what it wrote, ours purges."""
        published.run("produce", name, "3")
        with pytest.raises(AssertionError, match="NotImplementedError"):
            published.run("purge", name)
        queue = Queue(name)(connection.default_channel)
        queue.declare()
        assert queue.purge() == 3
        assert received(connection, queue, 1, timeout=1) == []
