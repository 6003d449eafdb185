"""etcd transport: ``etcd://user:password@host:2379``, on etcd's version 2 keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kombu.transport.clients import load_client
from kombu.transport.options import shown_by
from kombu.transport.virtual.drivers import DriverChannel

urllib3 = load_client("urllib3", "etcd", "etcd")
load_client("h11", "etcd", "etcd")

from kombu.transport.etcd.client import EtcdKeys
from kombu.transport.http import Server
from kombu.transport.keyvalue.options import KeyValueOptions
from kombu.transport.keyvalue.port import KeyValue
from kombu.transport.keyvalue.store import KeyValueStore
from kombu.transport.keyvalue.transport import KeyValueTransport

DEFAULT_PORT = 2379


@shown_by(KeyValueOptions)
class Channel(DriverChannel):
    """A channel of a broker in etcd."""


class Transport(KeyValueTransport):
    """etcd as a broker.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    polling_interval = 3
    default_port = DEFAULT_PORT
    driver_type = "etcd"
    driver_name = "python-etcd"
    # One request a message: the version 2 API has no other way.
    features = replace(KeyValueStore.features, batch_publish=False)

    def headers(self) -> Mapping[str, str]:
        """Basic authentication, where the URL has a name."""
        if not self.client.userid:
            return {}
        login = f"{self.client.userid}:{self.client.password or ''}"
        return dict(urllib3.make_headers(basic_auth=login))

    def open_keys(self, server: Server) -> KeyValue:
        """Version 2 keys."""
        keys = EtcdKeys(server)
        keys.probe()
        return keys

    def driver_version(self) -> str:
        """The library by which etcd is spoken to, and its version."""
        return f"urllib3 {urllib3.__version__}"
