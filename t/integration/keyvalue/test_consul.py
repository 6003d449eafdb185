"""The key-value store on Consul."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from kombu.transport.consul.client import ConsulKeys
from kombu.transport.http import Server
from kombu.transport.keyvalue.layout import queue_path
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

    def test_a_purge_waits_for_a_published_peer_that_reads(
        self, stores: OpenStore, queue: str
    ) -> None:
        store = stores()
        self.put(store, queue, *"abc")
        ask = store.keys.server.ask  # type: ignore[attr-defined]
        made = ask("PUT", "/v1/session/create", None, b'{"LockDelay": "0s"}', "application/json")
        session = json.loads(made.body)["ID"]
        lock = f"/v1/kv/{queue_path(queue)}.lock"
        assert ask("PUT", lock, {"acquire": session}, b"").body == b"true"
        release = threading.Timer(0.3, ask, ("PUT", f"/v1/session/destroy/{session}"))
        release.start()
        assert store.purge(queue) == 3
        release.join()
        assert store.size(queue) == 0
