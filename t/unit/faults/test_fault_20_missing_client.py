"""Fault 20: a client library that is absent is reported in five different ways."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kombu.transport.clients import load_client


def test_message_names_extra_and_module() -> None:
    with pytest.raises(
        ImportError, match=r"redis transport.*pip install 'kombu\[redis\]'"
    ) as caught:
        load_client("no_such_client", "redis", "redis")
    assert caught.value.name == "no_such_client"
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.parametrize(
    ("url", "client", "extra"),
    [
        ("redis://", "redis", "redis"),
        ("mongodb://", "pymongo", "mongodb"),
        ("zookeeper://", "kazoo", "zookeeper"),
        ("sqs://", "boto3", "sqs"),
        ("qpid://h", "proton", "qpid"),
        ("azureservicebus://p:k@n", "azure.servicebus", "azureservicebus"),
        ("azurestoragequeues://k@http://h/a", "azure.storage.queue", "azurestoragequeues"),
        ("etcd://", "h11", "etcd"),
        ("consul://", "urllib3", "consul"),
        ("slmq://", "urllib3", "slmq"),
    ],
)
def test_each_transport_says_what_to_install(url: str, client: str, extra: str) -> None:
    program = (
        "import sys\n"
        f"sys.modules[{client!r}] = None\n"
        "from kombu import Connection\n"
        f"Connection({url!r}).connect()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode != 0
    assert "ImportError: The " in run.stderr
    assert f"pip install 'kombu[{extra}]'" in run.stderr
