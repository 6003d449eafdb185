"""The two clients of a namespace: messages by AMQP 1.0, entities by the management interface."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.servicebus import ServiceBusClient, ServiceBusReceiveMode
from azure.servicebus.management import ServiceBusAdministrationClient

from kombu.transport.azure import identity
from kombu.transport.azureservicebus.errors import ERRORS
from kombu.transport.azureservicebus.names import LONGEST_SUBSCRIPTION, entity_name
from kombu.transport.azureservicebus.options import ServiceBusOptions
from kombu.transport.azureservicebus.urls import SCHEME, Address

#: Seconds that a receiving client reads its socket for, at most, before it looks around.
SOCKET_PAUSE = 0.05


class Service:
    """One namespace.

    Arguments:
        timeout: seconds to connect, and for one request of the management interface.
    """

    def __init__(self, address: Address, options: ServiceBusOptions, timeout: float) -> None:
        self.options = options
        self._known: set[str] = set()
        common: dict[str, Any] = {
            "retry_total": options.retry_total,
            "retry_backoff_factor": options.retry_backoff_factor,
            "retry_backoff_max": options.retry_backoff_max,
        }
        if options.connection_verify:
            common["connection_verify"] = options.connection_verify
        requests = {"connection_timeout": timeout, "read_timeout": 2 * timeout, **common}
        with ERRORS.mapped("make a client for Service Bus"):
            if address.key is None:
                credential = identity(address.policy, SCHEME)
                self.management = ServiceBusAdministrationClient(
                    address.namespace, credential, **requests
                )
            else:
                credential = AzureNamedKeyCredential(address.policy, address.key)
                self.management = ServiceBusAdministrationClient.from_connection_string(
                    f"Endpoint=sb://{address.namespace}/;SharedAccessKeyName={address.policy};"
                    f"SharedAccessKey={address.key}",
                    **requests,
                )
            self.client = ServiceBusClient(
                address.namespace,
                credential,
                use_tls=not options.emulator,
                keep_alive=options.uamqp_keep_alive_interval,
                auth_timeout=timeout,
                try_timeout=options.request_timeout,
                **common,
            )

    def name(self, queue: str) -> str:
        return entity_name(queue, self.options.queue_name_prefix)

    # ---- queues

    def ensure(self, queue: str) -> str:
        """The name of a queue that is there, made if need be."""
        name = self.name(queue)
        if name not in self._known:
            further: dict[str, Any] = {}
            if self.options.max_delivery_count is not None:
                further["max_delivery_count"] = self.options.max_delivery_count
            lock = timedelta(seconds=self.options.peek_lock_seconds)
            with ERRORS.mapped(f"create queue {queue!r}"):
                unless_there(
                    lambda: self.management.create_queue(name, lock_duration=lock, **further)
                )
            self._known.add(name)
        return name

    def exists(self, queue: str) -> bool:
        return self.count(queue) is not None

    def count(self, queue: str) -> int | None:
        """Messages that are ready or locked; ``None`` where there is no such queue."""
        with ERRORS.mapped(f"look up queue {queue!r}"):
            try:
                found = self.management.get_queue_runtime_properties(self.name(queue))
            except ResourceNotFoundError:
                self.forget(queue)
                return None
        return int(found.active_message_count or 0)

    def delete(self, queue: str) -> None:
        with ERRORS.mapped(f"delete queue {queue!r}"):
            unless_gone(lambda: self.management.delete_queue(self.name(queue)))
        self.forget(queue)

    def forget(self, queue: str) -> None:
        """Don't rely on its being there: it was deleted, by us or behind our back."""
        self._known.discard(self.name(queue))

    def receiver(self, queue: str, delete: bool = False) -> Any:
        """A receiver of messages, locked ones unless ``delete``."""
        mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE if delete else "peeklock"
        return self.client.get_queue_receiver(
            self.name(queue), receive_mode=mode, prefetch_count=0, socket_timeout=SOCKET_PAUSE
        )

    # ---- topics

    def ensure_topic(self, exchange: str) -> str:
        """The name of an exchange's topic, made if need be."""
        name = self.topic(exchange)
        if f"topic {name}" not in self._known:
            with ERRORS.mapped(f"create the topic of exchange {exchange!r}"):
                unless_there(lambda: self.management.create_topic(name))
            self._known.add(f"topic {name}")
        return name

    def topic(self, exchange: str) -> str:
        return entity_name(f"{exchange}.exchange", self.options.queue_name_prefix)

    def subscribe(self, exchange: str, queue: str) -> None:
        """From now on the service forwards what the topic receives to the queue."""
        topic, target = self.ensure_topic(exchange), self.ensure(queue)
        with ERRORS.mapped(f"subscribe queue {queue!r} to exchange {exchange!r}"):
            unless_there(
                lambda: self.management.create_subscription(
                    topic, self._subscription(target), forward_to=target
                )
            )

    def unsubscribe(self, exchange: str, queue: str) -> None:
        topic, target = self.topic(exchange), self.name(queue)
        with ERRORS.mapped(f"unsubscribe queue {queue!r} from exchange {exchange!r}"):
            unless_gone(
                lambda: self.management.delete_subscription(topic, self._subscription(target))
            )

    @staticmethod
    def _subscription(name: str) -> str:
        return entity_name(name, longest=LONGEST_SUBSCRIPTION)

    def close(self) -> None:
        """Close what is not a link: who opens links closes them."""
        self.management.close()


def unless_there(create: Callable[[], Any]) -> None:
    try:
        create()
    except ResourceExistsError:
        return


def unless_gone(delete: Callable[[], Any]) -> None:
    try:
        delete()
    except ResourceNotFoundError:
        return
