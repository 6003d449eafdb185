"""SoftLayer Message Queue transport: ``slmq://user:key@host:port/account``.

The service was shut down; this is for servers that speak its API.
"""

from __future__ import annotations

from typing import Any, ClassVar

from kombu.transport import base, virtual
from kombu.transport.clients import load_client
from kombu.transport.features import Features
from kombu.transport.options import shown_by
from kombu.transport.virtual.store import Fanout, Store

urllib3 = load_client("urllib3", "slmq", "SLMQ")

from kombu.transport.SLMQ.client import ERRORS, Account
from kombu.transport.SLMQ.fanout import TopicFanout
from kombu.transport.SLMQ.options import SLMQOptions
from kombu.transport.SLMQ.store import SLMQStore


@shown_by(SLMQOptions, "body_encoding", "deadletter_queue")
class Channel(virtual.Channel):
    """A channel of a SoftLayer Message Queue account.

    Arguments:
        args: the transport.
    """

    supports_fanout = True
    default_visibility_timeout = 1800

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class Transport(virtual.Transport):
    """A SoftLayer Message Queue account as a broker.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = SLMQOptions
    polling_interval = 1
    default_port = None
    driver_type = "N/A"
    driver_name = "N/A"
    features: ClassVar[Features] = SLMQStore.features
    errors = ERRORS
    implements = base.Implements.of(features)

    def create_store(self) -> Store:
        """Messages of the account."""
        assert isinstance(self.options, SLMQOptions)
        with ERRORS.mapped("connect to SoftLayer Message Queue"):
            account = Account.of(self.client, self.options)
            account.log_in()
        return SLMQStore(account, self.options, lambda: self.polling_interval or 1.0)

    def create_fanout(self, store: Store) -> Fanout:
        """The account's topics."""
        assert isinstance(store, SLMQStore)
        return TopicFanout(store.account, store.options)

    def driver_version(self) -> str:
        """The library by which the API is spoken to, and its version."""
        return f"urllib3 {urllib3.__version__}"
