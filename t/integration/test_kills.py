"""Consumers killed with SIGKILL take nothing along; sizes by environment for a full trial."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from t.integration.kafka.settings import TANSU
from t.kills import Trial
from t.services.pool import Servers

MESSAGES = int(os.environ.get("KOMBU_KILL_MESSAGES", "300"))
KILLS = int(os.environ.get("KOMBU_KILLS", "4"))


def run(url: str, options: dict[str, Any], folder: Path) -> None:
    outcome = Trial(url, options, folder, MESSAGES, KILLS).run()
    print(outcome)
    assert outcome.kills == KILLS
    assert outcome.lost == 0


@pytest.mark.server("mongodb")
def test_mongodb(servers: Servers, tmp_path: Path) -> None:
    url = servers.env("mongodb")["MONGODB_URL"].rpartition("/")[0]
    run(f"{url}/kills_{uuid4().hex[:8]}", {"lease": 2}, tmp_path)


@pytest.mark.server("zookeeper")
def test_zookeeper(servers: Servers, tmp_path: Path) -> None:
    url = servers.env("zookeeper")["ZOOKEEPER_URL"]
    run(f"{url}/kills-{uuid4().hex[:8]}", {"session_timeout": 4}, tmp_path)


@pytest.mark.server("sqs")
def test_sqs(servers: Servers, tmp_path: Path) -> None:
    environment = servers.env("sqs")
    options = {
        "endpoint_url": environment["SQS_ENDPOINT"],
        "queue_name_prefix": f"{uuid4().hex[:8]}-",
        "lease": 2,
    }
    run(environment["SQS_URL"], options, tmp_path)


@pytest.mark.server("azurite")
def test_azurestoragequeues(servers: Servers, tmp_path: Path) -> None:
    url = servers.env("azurite")["AZURE_QUEUES_URL"]
    prefix = f"{uuid4().hex[:8]}-"
    options = {"queue_name_prefix": prefix, "lease": 2, "polling_interval": 0.2}
    run(url, options, tmp_path)


@pytest.mark.server("servicebus")
def test_azureservicebus(servers: Servers, tmp_path: Path) -> None:
    environment = servers.env("servicebus")
    options = {
        "queue_name_prefix": f"{uuid4().hex[:8]}-",
        "peek_lock_seconds": 3,
        "wait_time_seconds": 1,
        "emulator": True,
        "connection_verify": environment["SERVICEBUS_CA"],
    }
    run(environment["SERVICEBUS_URL"], options, tmp_path)


@pytest.mark.server("rabbitmq")
def test_qpid(servers: Servers, tmp_path: Path) -> None:
    url = servers.env("rabbitmq")["RABBITMQ_AMQP10_URL"].replace("amqp://", "qpid://")
    run(url, {}, tmp_path)


@pytest.mark.server("pyro5")
def test_pyro(servers: Servers, tmp_path: Path) -> None:
    run(servers.env("pyro5")["PYRO5_URL"], {"lease": 2}, tmp_path)


@pytest.mark.server("nats")
def test_nats(servers: Servers, tmp_path: Path) -> None:
    run(f"{servers.env('nats')['NATS_URL']}/kills-{uuid4().hex[:8]}", {"lease": 2}, tmp_path)


@pytest.mark.server("kafka")
def test_kafka(servers: Servers, tmp_path: Path) -> None:
    run(servers.env("kafka")["KAFKA_URL"], TANSU, tmp_path)


@pytest.mark.server("pubsub")
def test_pubsub(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", servers.env("pubsub")["PUBSUB_EMULATOR_HOST"])
    options = {"ack_deadline_seconds": 10, "lease": 2}
    run(f"gcpubsub://projects/kills-{uuid4().hex[:8]}", options, tmp_path)


@pytest.mark.server("etcd")
def test_etcd(servers: Servers, tmp_path: Path) -> None:
    run(servers.env("etcd")["ETCD_URL"], {"lease": 2}, tmp_path)


@pytest.mark.server("consul")
def test_consul(servers: Servers, tmp_path: Path) -> None:
    run(servers.env("consul")["CONSUL_URL"], {"lease": 2}, tmp_path)
