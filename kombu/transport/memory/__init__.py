"""In-memory transport (``memory://``): brokers that live as long as the process.

Every virtual host is a broker of its own, shared by all connections of the process that
name it. :func:`reset` empties them, for tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kombu.transport import virtual
from kombu.transport.memory.broker import MemoryBroker, registry
from kombu.transport.memory.store import MemoryStore
from kombu.transport.virtual.store import Envelope, Store
from kombu.transport.virtual.topology import Topology

__all__ = ("Channel", "MemoryBroker", "MemoryStore", "Transport", "reset")


#: Virtual host -> what makes the stores of its connections, where a test has its own.
stores: dict[str, Callable[[MemoryBroker], MemoryStore]] = {}


def reset(vhost: str | None = None) -> None:
    """Empty the in-memory brokers: their queues, messages, exchanges and bindings.

    Arguments:
        vhost: only this virtual host; ``None``: all of the process.
    """
    registry.reset(vhost)


class _Messages:
    """The waiting messages of one queue, as a queue of the standard library shows them."""

    def __init__(self, store: MemoryStore, queue: str) -> None:
        self._store = store
        self._name = queue

    @property
    def queue(self) -> list[Envelope]:
        """The envelopes, the next one first."""
        found = self._store.broker.queues.get(self._name)
        return [] if found is None else found.messages

    def qsize(self) -> int:
        """How many there are."""
        return self._store.size(self._name)

    def empty(self) -> bool:
        """Whether there are none."""
        return not self.qsize()


class _AllMessages:
    """What ``Channel.queues`` is on the class, where 5.7 kept the messages of the process."""

    def clear(self) -> None:
        """Drop all waiting messages, as tests do between them."""
        registry.drop()


class _Queues:
    """A channel's ``queues``."""

    def __get__(self, channel: Any, owner: type) -> Any:
        """The broker's queues with their waiting messages, for looking at."""
        if channel is None:
            return _AllMessages()
        store = channel._backend
        assert isinstance(store, MemoryStore)
        return {name: _Messages(store, name) for name in list(store.broker.queues)}

    def __set__(self, channel: Any, queues: Mapping[str, Any]) -> None:
        """Any assignment gives this channel's connection empty queues of its own, for tests."""
        store = channel._backend
        assert isinstance(store, MemoryStore)
        store.broker = MemoryBroker(store.broker.name)


class Channel(virtual.Channel):
    """A channel of an in-memory broker."""

    #: Kept from 5.7; fanout goes through the bindings like every other type.
    supports_fanout = True
    do_restore = False

    queues = _Queues()


class Transport(virtual.Transport):
    """``memory:///<virtual host>``: a broker inside the process; the host name plays no part.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    driver_type = "memory"
    driver_name = "memory"
    features = MemoryStore.features

    #: What 5.7 kept here for all brokers: the state of the default one.
    global_state: virtual.BrokerState = registry.broker("/").topology.state

    def __init__(self, client: Any, **kwargs: Any) -> None:
        self.broker = registry.broker(getattr(client, "virtual_host", None))
        super().__init__(client, **kwargs)

    def create_store(self) -> Store:
        """This connection's view of its broker."""
        return stores.get(self.broker.name, MemoryStore)(self.broker)

    def create_topology(self) -> Topology:
        """The broker's: all connections to it share exchanges and bindings."""
        return self.broker.topology

    def driver_version(self) -> str:
        """There is no client library."""
        return "N/A"

    @staticmethod
    def reset(vhost: str | None = None) -> None:
        """See :func:`reset`."""
        reset(vhost)
