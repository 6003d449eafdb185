"""The key-value store on etcd."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from kombu.transport.etcd.client import EtcdKeys
from kombu.transport.http import Server
from kombu.transport.keyvalue.store import KeyValueStore
from t.integration.keyvalue.contract import KeyValueContract
from t.services.pool import Servers

OpenStore = Callable[[], KeyValueStore]


@pytest.mark.server("etcd")
class TestEtcdStore(KeyValueContract):
    @pytest.fixture
    def open_store(self, servers: Servers) -> OpenStore:
        url = urlsplit(servers.env("etcd")["ETCD_ENDPOINT"])

        def open_one() -> KeyValueStore:
            server = Server(str(url.hostname), int(url.port or 0), {}, 5.0, 5.0)
            return KeyValueStore(EtcdKeys(server), server, lease=2.0)

        return open_one
