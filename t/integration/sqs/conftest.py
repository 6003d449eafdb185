from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import boto3
import pytest

from kombu import Connection
from t.services.awsproxy import AWSProxy
from t.services.pool import Servers


@pytest.fixture
def proxy(servers: Servers) -> Iterator[AWSProxy]:
    """A proxy in front of moto."""
    with AWSProxy(servers.env("sqs")["SQS_ENDPOINT"]) as proxy:
        yield proxy


@pytest.fixture
def prefix() -> str:
    return f"{uuid4().hex[:8]}-"


@pytest.fixture
def connect(proxy: AWSProxy, prefix: str) -> Iterator[Callable[..., Any]]:
    """Connections by way of the proxy; keyword arguments are transport options."""
    opened: list[Any] = []

    def connect(**options: Any) -> Any:
        given = {
            "endpoint_url": proxy.endpoint,
            "is_secure": False,
            "wait_time_seconds": 1,
            "lease": 5,
            "queue_name_prefix": prefix,
            **options,
        }
        opened.append(Connection("sqs://key:secret@", transport_options=given))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.release()


@pytest.fixture
def aws(servers: Servers) -> Any:
    """boto3, for looking at what is stored."""
    return boto3.session.Session().client(
        "sqs",
        endpoint_url=servers.env("sqs")["SQS_ENDPOINT"],
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
