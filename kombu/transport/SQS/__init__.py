"""Amazon SQS transport: ``sqs://ACCESS_KEY:SECRET_KEY@``, or ``sqs://`` with AWS's own search."""

from __future__ import annotations

from typing import Any

from kombu.transport import virtual
from kombu.transport.clients import load_client
from kombu.transport.options import shown_by
from kombu.transport.virtual.drivers import DriverChannel
from kombu.transport.virtual.store import Fanout, Store

boto3 = load_client("boto3", "sqs", "SQS")

from kombu.transport.SQS.clients import Clients, Credentials
from kombu.transport.SQS.errors import ERRORS
from kombu.transport.SQS.exceptions import (
    AccessDeniedQueueException,
    DoesNotExistQueueException,
    InvalidQueueException,
    UndefinedExchangeException,
    UndefinedQueueException,
)
from kombu.transport.SQS.options import SQSOptions
from kombu.transport.SQS.SNS import SNSFanout
from kombu.transport.SQS.store import SQSStore


def maybe_int(x: Any) -> Any:
    """``x`` as an integer where it is one, else as it is."""
    try:
        return int(x)
    except (TypeError, ValueError):
        return x


class QoS(virtual.QoS):
    """Deliveries of an SQS channel."""


@shown_by(SQSOptions)
class Channel(DriverChannel):
    """A channel of queues in SQS."""

    QoS = QoS


class Transport(virtual.Transport):
    """SQS queues, and SNS topics where ``supports_fanout`` is on.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = SQSOptions
    options: SQSOptions
    default_hostname = None
    driver_type = "sqs"
    driver_name = "sqs"
    features = SQSStore.features
    errors = ERRORS

    def create_store(self) -> Store:
        """Queues of one account and region."""
        client = self.client
        clients = Clients(
            self.options,
            Credentials(client.userid or None, client.password or None),
            client.hostname,
            client.port,
            timeout=client.connect_timeout or 5,
        )
        return SQSStore(clients, self.options)

    def create_fanout(self, store: Store) -> Fanout | None:
        """SNS topics, where they are asked for; otherwise queues get copies."""
        assert isinstance(store, SQSStore)
        if not self.options.supports_fanout:
            return None
        return SNSFanout(store.clients, store.queues, self.options)

    def driver_version(self) -> str:
        """Version of boto3."""
        return str(boto3.__version__)


__all__ = (
    "AccessDeniedQueueException",
    "Channel",
    "DoesNotExistQueueException",
    "InvalidQueueException",
    "QoS",
    "Transport",
    "UndefinedExchangeException",
    "UndefinedQueueException",
    "maybe_int",
)
