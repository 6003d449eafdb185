"""Consul transport: ``consul://token@host:8500``."""

from __future__ import annotations

from collections.abc import Mapping

from kombu.transport.clients import load_client
from kombu.transport.options import shown_by
from kombu.transport.virtual.drivers import DriverChannel

urllib3 = load_client("urllib3", "consul", "consul")
load_client("h11", "consul", "consul")

from kombu.transport.consul.client import ConsulKeys, LockError
from kombu.transport.http import Server
from kombu.transport.keyvalue.options import KeyValueOptions
from kombu.transport.keyvalue.port import KeyValue
from kombu.transport.keyvalue.transport import KeyValueTransport

__all__ = ("DEFAULT_PORT", "Channel", "LockError", "Transport")

DEFAULT_PORT = 8500


@shown_by(KeyValueOptions)
class Channel(DriverChannel):
    """A channel of a broker in Consul."""


class Transport(KeyValueTransport):
    """A Consul agent as a broker.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    default_port = DEFAULT_PORT
    driver_type = "consul"
    driver_name = "consul"

    def headers(self) -> Mapping[str, str]:
        """The token, which is the URL's password, or its name where it has no password."""
        token = self.client.password or self.client.userid
        return {"X-Consul-Token": token} if token else {}

    def open_keys(self, server: Server) -> KeyValue:
        """The agent's key/value store."""
        keys = ConsulKeys(server, self.options.lease)
        keys.probe()
        return keys

    def driver_version(self) -> str:
        """The library by which Consul is spoken to, and its version."""
        return f"urllib3 {urllib3.__version__}"
