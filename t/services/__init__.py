"""Real servers (or stand-ins) for the tests, each on a free loopback port with its own data.

Nothing relies on a server that happens to run. ``python -m t.services list`` shows what there
is and what is missing here; ``python -m t.services install NAME...`` gets it.
"""

from __future__ import annotations

from t.services import (
    azurite,
    etcd,
    kafka,
    mariadb,
    mongodb,
    nats,
    postgres,
    pubsub,
    pyro,
    rabbitmq,
    redis,
    sqs,
    standin,
    zookeeper,
)
from t.services.processes import ServiceError
from t.services.service import REGISTRY, Service

__all__ = (
    "REGISTRY",
    "Service",
    "ServiceError",
    "azurite",
    "etcd",
    "kafka",
    "mariadb",
    "mongodb",
    "nats",
    "postgres",
    "pubsub",
    "pyro",
    "rabbitmq",
    "redis",
    "sqs",
    "standin",
    "zookeeper",
)
