"""Which errors a transport announces, and what it says when its client library is absent."""

from __future__ import annotations

import builtins
import subprocess
import sys

import pytest

from kombu import Connection

SCHEMES = (
    "memory",
    "filesystem",
    "amqp",
    "redis",
    "sqs",
    "mongodb",
    "zookeeper",
    "confluentkafka",
    "gcpubsub",
)


@pytest.mark.fault(21)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_error_is_the_connections_and_the_channels(scheme: str) -> None:
    # Red there on SQS, MongoDB and ZooKeeper.
    transport = Connection(f"{scheme}://").transport
    assert not set(transport.connection_errors) & set(transport.channel_errors)


@pytest.mark.fault(21)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_builtin_but_oserror_counts_as_the_brokers(scheme: str) -> None:
    # Red there on Redis, which has KeyError; the others never had any.
    transport = Connection(f"{scheme}://").transport
    own = {error for error in vars(builtins).values() if isinstance(error, type)}
    announced = set(transport.connection_errors) | set(transport.channel_errors)
    assert not [error for error in announced & own if not issubclass(error, OSError)]


ABSENT = """
import sys
for name in sys.argv[2].split(","):
    sys.modules[name] = None
import kombu
try:
    kombu.Connection(sys.argv[1], connect_timeout=1).connect()
except Exception as error:
    print(type(error).__mro__, error)
"""


@pytest.mark.fault(20)
@pytest.mark.parametrize(
    ("url", "modules", "extra"),
    [
        ("redis://", "redis,redis.exceptions", "redis"),
        ("sentinel://", "redis,redis.exceptions", "redis"),
        ("mongodb://", "pymongo,pymongo.errors", "mongodb"),
        ("zookeeper://", "kazoo,kazoo.client", "zookeeper"),
        ("sqs://", "boto3,botocore", "sqs"),
        ("pyro://", "Pyro4,Pyro5", "pyro"),
        ("kafka://", "confluent_kafka", "confluentkafka"),
        ("gcpubsub://projects/some", "google.pubsub_v1,google.cloud.pubsub_v1", "gcpubsub"),
    ],
)
def test_an_absent_client_library_is_named_with_its_extra(
    url: str, modules: str, extra: str
) -> None:
    command = [sys.executable, "-c", ABSENT, url, modules]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "ImportError" in done.stdout
    assert f"kombu[{extra}]" in done.stdout


GEVENT = """
import socket, sys, types
gevent, monkey = types.ModuleType("gevent"), types.ModuleType("gevent.monkey")
patched = []
gevent.monkey, gevent.socket = monkey, types.ModuleType("gevent.socket")
gevent.socket.socket = socket.socket
monkey.__getattr__ = lambda name: lambda *args, **kwargs: patched.append(name)
sys.modules.update({"gevent": gevent, "gevent.monkey": monkey, "gevent.socket": gevent.socket})
import kombu
from kombu.utils.compat import detect_environment
assert detect_environment() == "gevent"
import os, threading
url = "mongodb://127.0.0.1:1/db?serverSelectionTimeoutMS=50"
threading.Thread(target=lambda: kombu.Connection(url).channel(), daemon=True).start()
# What patches does so before it connects.
threading.Event().wait(2)
print(patched, flush=True)
os._exit(0)
"""


@pytest.mark.fault(26)
def test_using_mongodb_patches_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", GEVENT], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr[-500:]
