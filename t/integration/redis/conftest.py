from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from kombu.transport.redis.keys import Keyspace
from kombu.transport.redis.node import Node
from kombu.transport.redis.options import RedisOptions
from kombu.transport.redis.pools import make_pool
from kombu.transport.redis.server import Server
from kombu.transport.redis.store import RedisStore
from kombu.transport.redis.streams import RedisStreamStore, StreamKeyspace
from t.integration.redis.servers import BINARY, RedisServer

if not BINARY and not os.environ.get("CI"):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture
def server(shared_server: RedisServer) -> Iterator[RedisServer]:
    """A running server, empty at the start of the test."""
    shared_server.client().flushall()
    yield shared_server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may stop and start; it keeps its data."""
    server = RedisServer(tmp_path / "own", "appendonly yes", "appendfsync always").start()
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture
def client(server: RedisServer) -> redis.Redis:
    return server.client()


def make_store(
    port: int, timeout: float = 5.0, streams: bool = False, **options: Any
) -> RedisStore:
    pool = make_pool({"host": "127.0.0.1", "port": port, "protocol": 2, "socket_timeout": timeout})
    parsed = RedisOptions.parse(options, "redis")
    names = StreamKeyspace if streams else Keyspace
    keys = names(prefix=parsed.global_keyprefix, sep=parsed.sep, steps=tuple(parsed.priority_steps))
    server = Server(Node(pool))
    if not streams:
        return RedisStore(server, keys, parsed)
    store = RedisStreamStore(server, keys, parsed)
    store.on_change = lambda queue: None
    return store


@pytest.fixture
def open_store(server: RedisServer) -> Iterator[Callable[..., RedisStore]]:
    opened: list[RedisStore] = []

    def open_one(**options: Any) -> RedisStore:
        opened.append(make_store(server.port, **options))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()
