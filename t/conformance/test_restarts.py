"""Clients and messages over a restart of the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from kombu.testing.conformance import Harness
from kombu.testing.conformance.crashes import Durable, Restarts
from kombu.transport.azurestoragequeues import Transport as StorageQueuesTransport
from kombu.transport.confluentkafka import Transport as KafkaTransport
from kombu.transport.etcd import Transport as EtcdTransport
from kombu.transport.gcpubsub import Transport as PubSubTransport
from kombu.transport.pyamqp import Transport
from kombu.transport.qpid import Transport as QpidTransport
from kombu.transport.redis import Transport as RedisTransport
from t.integration.kafka.settings import TANSU
from t.services.pool import Servers


class RestartedServer(Restarts):
    """A server of the pool."""

    restartable = True
    #: Its name, and where its address stands in its environment.
    service: ClassVar[str]
    variable: ClassVar[str]
    #: Further arguments of :class:`Harness`.
    given: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        service = servers.service(self.service)
        url = self.url(service.env[self.variable])
        with Harness(url, restart=service.restart, **self.given) as harness:
            yield harness

    def url(self, address: str) -> str:
        return address


@pytest.mark.server("rabbitmq")
class TestRabbitMQRestart(RestartedServer, Durable):
    features = Transport.features
    drop_in = False
    service, variable = "rabbitmq", "RABBITMQ_URL"
    given: ClassVar = {"always_strict": True}


@pytest.mark.server("redis")
class TestRedisRestart(RestartedServer):
    features = RedisTransport.features
    service, variable = "redis", "REDIS_URL"


@pytest.mark.server("etcd")
class TestEtcdRestart(RestartedServer, Durable):
    features = EtcdTransport.features
    service, variable = "etcd", "ETCD_URL"
    given: ClassVar = {"transport_options": {"lease": 2}}


@pytest.mark.server("kafka")
class TestKafkaRestart(RestartedServer):
    """Tansu keeps its topics in memory: what is made anew is found again."""

    features = KafkaTransport.features
    service, variable = "kafka", "KAFKA_URL"
    given: ClassVar = {"transport_options": {**TANSU, "connection_wait_time_seconds": 1}}


@pytest.mark.server("pubsub")
class TestPubSubRestart(RestartedServer):
    """The emulator keeps everything in memory: what is made anew is found again."""

    features = PubSubTransport.features
    service, variable = "pubsub", "PUBSUB_EMULATOR_HOST"
    given: ClassVar = {
        "transport_options": {"ack_deadline_seconds": 10, "lease": 3, "wait_time_seconds": 2}
    }

    @pytest.fixture(autouse=True)
    def emulator(self, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(self.variable, servers.service(self.service).env[self.variable])

    def url(self, address: str) -> str:
        return "gcpubsub://projects/restarts"


@pytest.mark.server("azurite")
class TestAzureStorageQueuesRestart(RestartedServer, Durable):
    features = StorageQueuesTransport.features
    service, variable = "azurite", "AZURE_QUEUES_URL"


@pytest.mark.server("rabbitmq")
class TestQpidRestart(RestartedServer, Durable):
    features = QpidTransport.features
    service, variable = "rabbitmq", "RABBITMQ_AMQP10_URL"

    def url(self, address: str) -> str:
        return address.replace("amqp://", "qpid://")
