"""Google Cloud Pub/Sub transport: ``gcpubsub://projects/PROJECT_ID``."""

from __future__ import annotations

from kombu.transport import virtual
from kombu.transport.clients import load_client
from kombu.transport.options import shown_by
from kombu.transport.virtual.drivers import DriverChannel
from kombu.transport.virtual.store import Fanout, Put, Store
from kombu.transport.virtual.topology import Topology

pubsub_v1 = load_client("google.pubsub_v1", "gcpubsub", "gcpubsub")

from kombu.transport.gcpubsub.clients import Clients
from kombu.transport.gcpubsub.errors import ERRORS
from kombu.transport.gcpubsub.options import PubSubOptions
from kombu.transport.gcpubsub.store import PubSubStore
from kombu.transport.gcpubsub.topology import PubSubFanout, PubSubTopology


@shown_by(PubSubOptions)
class Channel(DriverChannel):
    """A channel of queues in Pub/Sub subscriptions."""

    supports_fanout = True
    do_restore = False
    default_ack_deadline_seconds = 240
    default_bulk_max_messages = 32
    default_enable_exactly_once_delivery = False
    default_expiration_seconds = 86400
    default_retry_timeout_seconds = 300
    default_wait_time_seconds = 10


class Transport(virtual.Transport):
    """A project of Google Cloud as a broker.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = PubSubOptions
    options: PubSubOptions
    can_parse_url = True
    polling_interval = 0.1
    driver_type = "gcpubsub"
    driver_name = "pubsub_v1"
    features = PubSubStore.features
    errors = ERRORS
    _shared: PubSubTopology

    @property
    def project(self) -> str:
        """The project that the URL names.

        Raises:
            ValueError: it names none.
        """
        host = str(self.client.hostname or "")
        rest = host.partition("://")[2] or host
        kind, _, project = rest.strip("/").partition("/")
        project = project.partition("?")[0].strip("/")
        if kind != "projects" or not project or "/" in project:
            raise ValueError("a Pub/Sub URL has the form gcpubsub://projects/PROJECT_ID")
        return project

    def create_topology(self) -> Topology:
        """Exchanges and bindings, shared as far as subscriptions can hold them."""
        self._shared = PubSubTopology(lambda: self.connected_to(PubSubStore).subscriptions)
        return Topology(vhost=self._vhost(), shared=self._shared)

    def create_store(self) -> Store:
        """Subscriptions of one project."""
        clients = Clients(self.project, self.options)
        clients.check(self.client.connect_timeout or 5)
        return PubSubStore(clients, self.options)

    def create_fanout(self, store: Store) -> Fanout:
        """Topics deliver to all their subscriptions."""
        assert isinstance(store, PubSubStore)
        return PubSubFanout(
            store.subscriptions,
            self._shared,
            lambda queue, message: store.put([Put(queue, message)]),
        )

    def driver_version(self) -> str:
        """Version of google-cloud-pubsub."""
        return str(pubsub_v1.__version__)

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """The URI for people to read; it has no secrets."""
        return uri or f"gcpubsub://projects/{self.project}"


__all__ = ("Channel", "Transport")
