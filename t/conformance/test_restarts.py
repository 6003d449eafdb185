"""Clients and messages over a restart of the server."""

from __future__ import annotations

from collections.abc import Iterator

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


@pytest.mark.server("rabbitmq")
class TestRabbitMQRestart(Restarts, Durable):
    features = Transport.features
    drop_in = False
    restartable = True

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        service = servers.service("rabbitmq")
        url = service.env["RABBITMQ_URL"]
        with Harness(url, always_strict=True, restart=service.restart) as harness:
            yield harness


@pytest.mark.server("redis")
class TestRedisRestart(Restarts):
    features = RedisTransport.features
    restartable = True

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        service = servers.service("redis")
        with Harness(service.env["REDIS_URL"], restart=service.restart) as harness:
            yield harness


@pytest.mark.server("etcd")
class TestEtcdRestart(Restarts, Durable):
    features = EtcdTransport.features
    restartable = True

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        service = servers.service("etcd")
        url = service.env["ETCD_URL"]
        with Harness(url, transport_options={"lease": 2}, restart=service.restart) as harness:
            yield harness


@pytest.mark.server("kafka")
class TestKafkaRestart(Restarts):
    """Tansu keeps its topics in memory: what is made anew is found again."""

    features = KafkaTransport.features
    restartable = True

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        service = servers.service("kafka")
        options = {**TANSU, "connection_wait_time_seconds": 1}
        url = service.env["KAFKA_URL"]
        with Harness(url, transport_options=options, restart=service.restart) as harness:
            yield harness


@pytest.mark.server("pubsub")
class TestPubSubRestart(Restarts):
    """The emulator keeps everything in memory: what is made anew is found again."""

    features = PubSubTransport.features
    restartable = True

    @pytest.fixture
    def harness(self, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
        service = servers.service("pubsub")
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", service.env["PUBSUB_EMULATOR_HOST"])
        options = {"ack_deadline_seconds": 10, "lease": 3, "wait_time_seconds": 2}
        url = "gcpubsub://projects/restarts"
        with Harness(url, transport_options=options, restart=service.restart) as harness:
            yield harness


@pytest.mark.server("azurite")
class TestAzureStorageQueuesRestart(Restarts, Durable):
    features = StorageQueuesTransport.features
    restartable = True

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        service = servers.service("azurite")
        url = service.env["AZURE_QUEUES_URL"]
        with Harness(url, restart=service.restart) as harness:
            yield harness


@pytest.mark.server("rabbitmq")
class TestQpidRestart(Restarts, Durable):
    features = QpidTransport.features
    restartable = True

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        service = servers.service("rabbitmq")
        url = service.env["RABBITMQ_AMQP10_URL"].replace("amqp://", "qpid://")
        with Harness(url, restart=service.restart) as harness:
            yield harness
