"""The key-value store on Consul."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from kombu.transport.consul.client import ConsulKeys
from kombu.transport.http import Server
from kombu.transport.keyvalue.store import KeyValueStore
from t.integration.keyvalue.contract import KeyValueContract
from t.services.pool import Servers

OpenStore = Callable[[], KeyValueStore]


@pytest.mark.server("consul")
class TestConsulStore(KeyValueContract):
    @pytest.fixture
    def open_store(self, servers: Servers) -> OpenStore:
        url = urlsplit(servers.env("consul")["CONSUL_URL"])

        def open_one() -> KeyValueStore:
            server = Server(str(url.hostname), int(url.port or 0), {}, 5.0, 5.0)
            return KeyValueStore(ConsulKeys(server, 2.0), server, lease=2.0)

        return open_one
