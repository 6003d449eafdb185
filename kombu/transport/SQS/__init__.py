"""Amazon SQS transport: ``sqs://ACCESS_KEY:SECRET_KEY@``, or ``sqs://`` with AWS's own search."""

from __future__ import annotations

from typing import Any, ClassVar

from kombu.transport import base, virtual
from kombu.transport.clients import load_client
from kombu.transport.features import Features
from kombu.transport.options import shown_by
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


@shown_by(SQSOptions, "body_encoding", "deadletter_queue")
class Channel(virtual.Channel):
    """A channel of queues in SQS."""

    QoS = QoS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class Transport(virtual.Transport):
    """SQS queues, and SNS topics where ``supports_fanout`` is on.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = SQSOptions
    polling_interval = 1
    default_port = None
    driver_type = "sqs"
    driver_name = "sqs"
    features: ClassVar[Features] = SQSStore.features
    errors = ERRORS
    implements = base.Implements.of(features)

    @property
    def default_connection_params(self) -> dict[str, Any]:
        """AWS's own endpoint, unless the URL names one."""
        return {"port": self.default_port}

    def create_store(self) -> Store:
        """Queues of one account and region."""
        assert isinstance(self.options, SQSOptions)
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
        assert isinstance(self.options, SQSOptions) and isinstance(store, SQSStore)
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
