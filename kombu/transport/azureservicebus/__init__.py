"""Azure Service Bus transport: ``azureservicebus://POLICY:KEY@NAMESPACE``."""

from __future__ import annotations

from kombu.transport import virtual
from kombu.transport.clients import load_client
from kombu.transport.options import shown_by
from kombu.transport.virtual.drivers import DriverChannel
from kombu.transport.virtual.store import Fanout, Store

servicebus = load_client("azure.servicebus", "azureservicebus", "azureservicebus")

from kombu.transport.azureservicebus.errors import ERRORS
from kombu.transport.azureservicebus.fanout import TopicFanout
from kombu.transport.azureservicebus.options import ServiceBusOptions
from kombu.transport.azureservicebus.service import Service
from kombu.transport.azureservicebus.store import ServiceBusStore
from kombu.transport.azureservicebus.urls import read_url, shown


@shown_by(ServiceBusOptions)
class Channel(DriverChannel):
    """A channel of queues in a Service Bus namespace."""

    supports_fanout = True
    default_wait_time_seconds: int = 5
    default_peek_lock_seconds: int = 60
    default_uamqp_keep_alive_interval: int = 30
    default_retry_total: int = 3
    default_retry_backoff_factor: float = 0.8
    default_retry_backoff_max: int = 120
    default_use_lock_renewal: bool = False
    default_max_lock_renewal_duration: float = 3600.0


class Transport(virtual.Transport):
    """The queues and topics of a Service Bus namespace.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = ServiceBusOptions
    options: ServiceBusOptions
    can_parse_url = True
    default_hostname = None
    driver_type = "azureservicebus"
    driver_name = "azure-servicebus"
    features = ServiceBusStore.features
    errors = ERRORS

    def create_store(self) -> Store:
        """Queues of the namespace that the URL names."""
        address = read_url(self.client.hostname or "", self.options.emulator)
        timeout = self.client.connect_timeout or 5
        return ServiceBusStore(Service(address, self.options, timeout))

    def create_fanout(self, store: Store) -> Fanout | None:
        """Topics, unless option ``topics`` is off; then queues get copies."""
        assert isinstance(store, ServiceBusStore)
        return TopicFanout(store.service) if self.options.topics else None

    def driver_version(self) -> str:
        """Version of azure-servicebus."""
        return str(servicebus.__version__)

    @classmethod
    def as_uri(cls, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """The URI for people to read.

        Raises:
            ValueError: it is none.
        """
        return shown(uri, include_password, mask)
