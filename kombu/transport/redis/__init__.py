"""Redis transport: ``redis://``, ``rediss://``, ``redis+socket://``, ``sentinel://``.

Messages are leased: a claim takes them from their list and records them in one step, the
lease is renewed while the owner lives, and a dead owner's messages return within it.
Keys and bodies are those of kombu 5.7, so that both can share a server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.transport.clients import load_client

load_client("redis", "redis", "redis")

from kombu.transport.redis.channel import PRIORITY_STEPS, Channel, QoS
from kombu.transport.redis.errors import (
    error_classes_t,
    get_redis_ConnectionError,
    get_redis_error_classes,
)
from kombu.transport.redis.pools import SentinelManagedSSLConnection
from kombu.transport.redis.transport import (
    SentinelChannel,
    SentinelTransport,
    Transport,
)
from kombu.transport.redis.urls import DEFAULT_DB, DEFAULT_PORT

__all__ = (
    "DEFAULT_DB",
    "DEFAULT_PORT",
    "PRIORITY_STEPS",
    "Channel",
    "Mutex",
    "MutexHeld",
    "QoS",
    "SentinelChannel",
    "SentinelManagedSSLConnection",
    "SentinelTransport",
    "Transport",
    "error_classes_t",
    "get_redis_ConnectionError",
    "get_redis_error_classes",
)


class MutexHeld(Exception):
    """Another process holds the lock."""


@contextmanager
def Mutex(client: Any, name: str, expire: float) -> Iterator[None]:
    """Hold a lock on the server.

    Arguments:
        client: a redis-py client.
        name: the key.
        expire: seconds after which it is free even if it was not released.

    Raises:
        MutexHeld: another process holds it.
    """
    lock = client.lock(name, timeout=expire)
    if not lock.acquire(blocking=False):
        raise MutexHeld()
    try:
        yield
    finally:
        if lock.owned():
            lock.release()
