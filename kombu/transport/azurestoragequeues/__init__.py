"""Azure Storage Queues transport: ``azurestoragequeues://KEY@https://ACCOUNT.queue.core...``."""

from __future__ import annotations

from kombu.transport import virtual
from kombu.transport.clients import load_client
from kombu.transport.options import shown_by
from kombu.transport.virtual.drivers import DriverChannel
from kombu.transport.virtual.store import Store
from kombu.transport.virtual.topology import Topology

storage = load_client("azure.storage.queue", "azurestoragequeues", "azurestoragequeues")

from kombu.transport.azurestoragequeues.errors import ERRORS
from kombu.transport.azurestoragequeues.options import StorageQueueOptions
from kombu.transport.azurestoragequeues.queues import Queues
from kombu.transport.azurestoragequeues.store import StorageQueueStore
from kombu.transport.azurestoragequeues.topology import QueueMetadataTopology
from kombu.transport.azurestoragequeues.urls import credential_of, read_url, shown


@shown_by(StorageQueueOptions)
class Channel(DriverChannel):
    """A channel of queues in a storage account."""


class Transport(virtual.Transport):
    """The queues of a storage account.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = StorageQueueOptions
    options: StorageQueueOptions
    can_parse_url = True
    default_hostname = None
    driver_type = "azurestoragequeues"
    driver_name = "azure-storage-queue"
    features = StorageQueueStore.features
    errors = ERRORS

    def create_store(self) -> Store:
        """Queues of the account that the URL names."""
        address = read_url(self.client.hostname or "")
        with ERRORS.mapped("make a client for Azure Storage"):
            service = storage.QueueServiceClient(
                address.account_url,
                credential=credential_of(address),
                connection_timeout=self.client.connect_timeout or 5,
                read_timeout=self.options.request_timeout,
                # The client's own first pause is 15 seconds.
                retry_policy=storage.LinearRetry(
                    backoff=0.2, retry_total=2, random_jitter_range=0.2
                ),
            )
        return StorageQueueStore(Queues(service, self.options), self.longest_pause)

    def create_topology(self) -> Topology:
        """Exchanges and bindings, shared with all clients of the account."""
        shared = QueueMetadataTopology(lambda: self.connected_to(StorageQueueStore).queues)
        return Topology(vhost=self._vhost(), shared=shared)

    def driver_version(self) -> str:
        """Version of azure-storage-queue."""
        return str(storage.__version__)

    @classmethod
    def as_uri(cls, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """The URI for people to read.

        Raises:
            ValueError: it is none.
        """
        return shown(uri, include_password, mask)
