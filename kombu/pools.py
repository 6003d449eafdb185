"""Pools of connections and producers, one for each broker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any, Final

from kombu.connection import Connection, ConnectionPool
from kombu.messaging import Producer
from kombu.resource import Resource
from kombu.utils.collections import EqualityDict, eqhash

__all__ = (
    "Connections",
    "PoolGroup",
    "ProducerPool",
    "Producers",
    "connections",
    "get_limit",
    "producers",
    "register_group",
    "reset",
    "set_limit",
)


class _UseGlobalLimit:
    def __repr__(self) -> str:
        return "<use the global limit>"


#: Limit of a group whose pools have the limit of :func:`set_limit`.
use_global_limit: Final = _UseGlobalLimit()

#: Of no effect; read by old applications.
disable_limit_protection = None


class ProducerPool(Resource):
    """A pool of producers, each of which has a connection while it is in use.

    Arguments:
        connections: a pool of connections.
        limit: see :class:`~kombu.resource.Resource`.
    """

    Producer = Producer
    close_after_fork = True

    def __init__(self, connections: ConnectionPool, *args: Any, **kwargs: Any) -> None:
        self.connections = connections
        self.Producer = kwargs.pop("Producer", None) or self.Producer
        self._patience = threading.local()
        super().__init__(*args, **kwargs)

    def acquire(self, block: bool = False, timeout: float | None = None) -> Any:
        """Take a producer; its method ``release`` gives it and its connection back.

        Arguments:
            block: wait while all producers or all connections are in use.
            timeout: most seconds to wait; ``None`` without limit.

        Raises:
            LimitExceeded: all are in use.
        """
        end = None if timeout is None else monotonic() + timeout
        self._patience.block, self._patience.end = block, end
        return super().acquire(block, timeout)

    def _acquire_connection(self) -> Any:
        block = getattr(self._patience, "block", True)
        end = getattr(self._patience, "end", None)
        return self.connections.acquire(block, None if end is None else max(0, end - monotonic()))

    def create_producer(self) -> Any:
        """A producer with a connection."""
        connection = self._acquire_connection()
        try:
            return self.Producer(connection)
        except BaseException:
            connection.release()
            raise

    def new(self) -> Any:
        """Same as :meth:`create_producer`."""
        return self.create_producer()

    def setup(self) -> None:
        """Make the producers that are wanted at once."""
        super().setup()

    def prepare(self, p: Any) -> Any:
        """Give a connection to a producer that was idle."""
        if p.__connection__ is None:
            p.revive(self._acquire_connection())
        return p

    def release_resource(self, resource: Any) -> None:
        """Give its connection back, so that an idle producer holds none."""
        connection = resource.__connection__
        if connection is not None:
            resource.channel = resource.__connection__ = None
            connection.release()

    def release(self, resource: Any) -> None:
        """Give a producer and its connection back; one that is not in use is left alone."""
        super().release(resource)

    def close_resource(self, resource: Any) -> None:
        """A producer has nothing to close but its connection, which belongs to another pool."""
        self.release_resource(resource)


class PoolGroup(EqualityDict):
    """Pools by what they are pools of; made when first asked for.

    Arguments:
        limit: of each pool; ``None`` for none, :data:`use_global_limit` for that of
            :func:`set_limit`.
        close_after_fork: forked children begin with empty pools.
    """

    def __init__(self, limit: Any = None, close_after_fork: bool = True) -> None:
        super().__init__()
        self.limit = limit
        self.close_after_fork = close_after_fork
        self._making = threading.RLock()

    def create(self, resource: Any, limit: int | None) -> Any:
        """Make the pool of ``resource``."""
        raise NotImplementedError("PoolGroups must define ``create``")

    def __missing__(self, resource: Any) -> Any:
        digest = eqhash(resource)
        with self._making:
            if digest not in self:  # another thread may have made it meanwhile
                limit = get_limit() if self.limit is use_global_limit else self.limit
                dict.__setitem__(self, digest, self.create(resource, limit))
            return dict.__getitem__(self, digest)


class Connections(PoolGroup):
    """Connection pools by connection: ``connections[connection].acquire(block=True)``."""

    def create(self, connection: Connection, limit: int | None) -> Any:
        """The pool of connections like this one."""
        return connection.Pool(limit=limit, close_after_fork=self.close_after_fork)


class Producers(PoolGroup):
    """Producer pools by connection: ``producers[connection].acquire(block=True)``."""

    def create(self, connection: Connection, limit: int | None) -> Any:
        """The pool of producers on connections like this one."""
        return ProducerPool(
            connections[connection], limit=limit, close_after_fork=self.close_after_fork
        )


_global_limit: list[int] = [10]
_groups: list[PoolGroup] = []


def register_group(group: PoolGroup) -> PoolGroup:
    """Let :func:`set_limit` and :func:`reset` apply to a group."""
    _groups.append(group)
    return group


#: The pools of connections of this process.
connections = register_group(Connections(limit=use_global_limit))

#: The pools of producers of this process.
producers = register_group(Producers(limit=use_global_limit))


def get_limit() -> int:
    """The limit of pools that have none of their own."""
    return _global_limit[0]


def set_limit(
    limit: int | None,
    force: bool = False,
    reset_after: bool = False,
    ignore_errors: bool = False,
) -> int:
    """Set the limit of pools that have none of their own, those there are included.

    Arguments:
        limit: most connections per broker; 0 or ``None`` for no limit.
        force, ignore_errors: shrink pools that are in use too; the surplus is closed when it
            is given back.
        reset_after: close all connections.

    Raises:
        RuntimeError: a pool would have to shrink and is in use.
    """
    new = limit or 0
    if new != get_limit() or reset_after:
        for pool in _pools(with_global_limit=True):
            pool.resize(new, force=force, reset=reset_after, ignore_errors=ignore_errors)
        _global_limit[0] = new
    return new


def reset(*args: Any, **kwargs: Any) -> None:
    """Close all connections and forget all pools. Takes any arguments, to serve as a handler."""
    for pool in _pools():
        pool.force_close_all()
    for group in _groups:
        group.clear()


def _pools(with_global_limit: bool = False) -> Iterator[Any]:
    """All pools of the registered groups, producers before the connections they hold."""
    for group in reversed(_groups):
        if not with_global_limit or group.limit is use_global_limit:
            yield from list(group.values())
