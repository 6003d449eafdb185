"""SoftLayer Message Queue transport: ``slmq://user:key@host:port/account``.

The service was shut down; this is for servers that speak its API.
"""

from __future__ import annotations

from kombu.transport import virtual
from kombu.transport.clients import load_client
from kombu.transport.options import shown_by
from kombu.transport.virtual.drivers import DriverChannel
from kombu.transport.virtual.store import Fanout, Store

urllib3 = load_client("urllib3", "slmq", "SLMQ")

from kombu.transport.SLMQ.client import ERRORS, Account
from kombu.transport.SLMQ.fanout import TopicFanout
from kombu.transport.SLMQ.options import SLMQOptions
from kombu.transport.SLMQ.store import SLMQStore


@shown_by(SLMQOptions)
class Channel(DriverChannel):
    """A channel of a SoftLayer Message Queue account."""

    supports_fanout = True
    default_visibility_timeout = 1800


class Transport(virtual.Transport):
    """A SoftLayer Message Queue account as a broker.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = SLMQOptions
    options: SLMQOptions
    features = SLMQStore.features
    errors = ERRORS

    def create_store(self) -> Store:
        """Messages of the account."""
        with ERRORS.mapped("connect to SoftLayer Message Queue"):
            account = Account.of(self.client, self.options)
            account.log_in()
        return SLMQStore(account, self.options, self.longest_pause)

    def create_fanout(self, store: Store) -> Fanout:
        """The account's topics."""
        assert isinstance(store, SLMQStore)
        return TopicFanout(store.account, store.options)

    def driver_version(self) -> str:
        """The library by which the API is spoken to, and its version."""
        return f"urllib3 {urllib3.__version__}"
