"""The brokers that are measured: their servers, and what each needs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kombu.transport import NoSuchTransport, resolve_transport
from t.integration.kafka.settings import TANSU
from t.peers import measure, our_python, published_python
from t.services.awsproxy import AWSProxy
from t.services.pool import Servers

HERE = Path(__file__).parent
Figures = dict[str, float]
Run = Callable[[], Figures]

#: What the table at the end is made of.
SUMMARY = ("publish", "consume", "latency", "idle")

#: Scenarios that take as long however often they are run, and vary little.
ONCE = frozenset({"idle", "idle_calls", "celery"})

#: Seconds after which a side is given up.
PATIENCE = 120.0


class Place(NamedTuple):
    """Where a side finds its broker."""

    url: str
    options: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Broker:
    """One broker of the benchmarks.

    Arguments:
        scheme: the transport's; brokers whose transport is not there are left out.
        server: of ``t/services``; ``None``: it needs none.
        place: from the server's environment and an empty folder to where the broker is.
        more: scenarios beyond those of the table, run when this broker is asked for.
        count: messages, where every call takes longer the more messages wait.
        needed: distributions of client libraries for both sides.
        published: whether the published package can use it.
        clients: other clients of the broker, and the distributions that they need. The first
            is what kombu stands on, or the least that is needed: the floor.
    """

    scheme: str
    server: str | None
    place: Callable[[Mapping[str, str], Path], Place]
    more: tuple[str, ...] = ()
    count: int | None = None
    needed: tuple[str, ...] = ()
    published: bool = True
    clients: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def available(self) -> bool:
        try:
            resolve_transport(self.scheme)
        except NoSuchTransport:
            return False
        return True


def at(variable: str, scheme: str | None = None, **options: Any) -> Any:
    """The URL in this variable, with another scheme if one is given."""

    def place(env: Mapping[str, str], folder: Path) -> Place:
        url = env[variable]
        return Place(f"{scheme}:{url.partition(':')[2]}" if scheme else url, options)

    return place


def in_folder(env: Mapping[str, str], folder: Path) -> Place:
    kinds = ("data_folder_in", "data_folder_out", "processed_folder", "control_folder")
    names = dict.fromkeys(kinds, str(folder / "messages"))
    names["processed_folder"], names["control_folder"] = str(folder / "done"), str(folder / "meta")
    for name in names.values():
        Path(name).mkdir(exist_ok=True)
    return Place("filesystem://", names)


#: What raw clients run, where it is not ``clients.py``.
SCRIPTS = {"redis-py": "redis_floor.py"}

BROKERS: dict[str, Broker] = {
    "memory": Broker("memory", None, lambda env, folder: Place("memory://"), count=20_000),
    "filesystem": Broker("filesystem", None, in_folder, count=1_000),
    "redis": Broker(
        "redis",
        "redis",
        at("REDIS_URL"),
        ("batch", "celery"),
        needed=("packaging",),
        clients={"redis-py": ("redis",)},
    ),
    "redis+streams": Broker(
        "redis",
        "redis",
        at("REDIS_URL", "redis+streams"),
        ("batch",),
        needed=("packaging",),
        published=False,
    ),
    "amqp": Broker(
        "amqp",
        "rabbitmq",
        at("RABBITMQ_URL"),
        ("confirmed", "batch", "celery"),
        clients={"py-amqp": (), "pika": ("pika",), "aio-pika": ("aio-pika",)},
    ),
    "sqs": Broker(
        "sqs", "sqs", at("SQS_URL"), ("calls", "calls_one_by_one", "idle_calls"), count=300
    ),
    "mongodb": Broker("mongodb", "mongodb", at("MONGODB_URL"), count=500),
    "zookeeper": Broker("zookeeper", "zookeeper", at("ZOOKEEPER_URL"), count=2_000),
    "sqlite": Broker(
        "sqlalchemy",
        None,
        lambda env, folder: Place(f"sqla+sqlite:///{folder}/broker.db"),
        count=1_000,
    ),
    "postgresql": Broker(
        "sqlalchemy",
        "postgres",
        at("POSTGRES_URL", "sqla+postgresql+psycopg"),
        count=1_000,
        needed=("psycopg[binary]",),
    ),
    "etcd": Broker("etcd", "etcd", at("ETCD_URL"), count=500, needed=("python-etcd", "h11")),
    "consul": Broker(
        "consul", "consul", at("CONSUL_URL"), count=500, needed=("python-consul2", "h11")
    ),
    "kafka": Broker(
        "kafka",
        "kafka",
        at("KAFKA_URL", **TANSU),
        ("batch",),
        needed=("confluent-kafka",),
    ),
    # 5.7 can't publish to a queue that is bound to no exchange there.
    "gcpubsub": Broker(
        "gcpubsub",
        "pubsub",
        at("PUBSUB_URL"),
        count=500,
        needed=("google-cloud-pubsub", "google-cloud-monitoring"),
        published=False,
    ),
    "azurestoragequeues": Broker(
        "azurestoragequeues",
        "azurite",
        at("AZURE_QUEUES_URL"),
        count=300,
        needed=("azure-storage-queue", "azure-identity"),
    ),
    "nats": Broker("nats", "nats", at("NATS_URL"), needed=("nats-py",), published=False),
    "pyro": Broker("pyro", "pyro5", at("PYRO5_URL"), needed=("Pyro5",), published=False),
}


@contextmanager
def prepared(broker: Broker, servers: Servers) -> Iterator[Callable[[str], dict[str, Run]]]:
    """Start the broker's server; gives the sides of a scenario by its name.

    Raises:
        t.services.ServiceError: the server is missing or does not start.
    """
    env = servers.env(broker.server) if broker.server else {}
    with tempfile.TemporaryDirectory() as folder:
        yield partial(sides, broker, env, Path(folder))


def sides(broker: Broker, env: Mapping[str, str], folder: Path, scenario: str) -> dict[str, Run]:
    """Who takes part in a scenario, and how each is run."""
    found: dict[str, Run] = {}
    for side, python in (("published", published_python), ("ours", our_python)):
        if side == "ours" or broker.published:
            # Each side has files of its own: what one leaves must not slow the other.
            (own := folder / side).mkdir(exist_ok=True)
            found[side] = partial(run, broker, env, own, scenario, python)
    if scenario not in ("idle", "celery"):
        for client, needed in broker.clients.items():
            found[client] = partial(run_client, client, needed, scenario, broker.place(env, folder))
    return found


def run(
    broker: Broker,
    env: Mapping[str, str],
    folder: Path,
    scenario: str,
    python: Callable[..., str],
) -> Figures:
    interpreter = python(*broker.needed)
    place = broker.place(env, folder)
    counted = broker.count is not None and scenario not in ONCE and scenario != "latency"
    count = [str(broker.count)] if counted else []
    if scenario == "celery":
        return measure(interpreter, HERE / "celery_rates.py", place.url, timeout=300)
    if endpoint := env.get("SQS_ENDPOINT"):
        return run_counted(interpreter, scenario, endpoint, count)
    arguments = [scenario, place.url, json.dumps(place.options), *count]
    return measure(interpreter, HERE / "broker.py", *arguments, timeout=PATIENCE, env=env)


def run_client(client: str, needed: tuple[str, ...], scenario: str, place: Place) -> Figures:
    script = HERE / SCRIPTS.get(client, "clients.py")
    interpreter = published_python(*needed)
    return measure(interpreter, script, client, scenario, place.url, timeout=PATIENCE)


def run_counted(python: str, scenario: str, endpoint: str, count: list[str]) -> Figures:
    """Run a scenario on SQS, its API calls counted."""
    with AWSProxy(endpoint) as proxy:
        url = f"sqs://key:secret@{proxy.endpoint.rpartition('/')[2]}//"
        options = {
            "endpoint_url": proxy.endpoint,
            "is_secure": False,
            "region": "us-east-1",
            # Long enough for what is prefetched on a slow machine: 5.7 renews nothing.
            "visibility_timeout": 600,
        }
        arguments = [scenario, url, json.dumps(options), *count]
        figures = measure(python, HERE / "broker.py", *arguments, timeout=PATIENCE)
        calls = sum(proxy.calls.values())
        return {name: calls * -value if value < 0 else value for name, value in figures.items()}
