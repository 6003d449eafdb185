"""Connections to the brokers that need no server, and the record of what failed.

Nothing here imports what only one of the two packages has.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import kombu
from t.faults.broker import Broker

#: Options that keep tests on SQS short, in words of both packages.
SQS = {"region": "us-east-1", "wait_time_seconds": 1, "visibility_timeout": 3}

_outcomes = pytest.StashKey[dict[str, dict[str, Any]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(*names): the faults that this test shows")


@pytest.fixture(params=["drop-in", "strict"])
def mode(request: pytest.FixtureRequest) -> str:
    """Both ways of our transports; the published package knows one and ignores the option."""
    return str(request.param)


@pytest.fixture
def options(mode: str) -> dict[str, Any]:
    """Transport options."""
    return {"strict": True} if mode == "strict" else {}


def _broker(kind: str, request: pytest.FixtureRequest, options: dict[str, Any]) -> Broker:
    if kind == "redis":
        url = request.getfixturevalue("servers").env("redis")["REDIS_URL"]
        return Broker(url, options)
    if kind == "amqp":
        return Broker(request.getfixturevalue("servers").env("rabbitmq")["RABBITMQ_URL"], options)
    if kind == "mongodb":
        url = request.getfixturevalue("servers").env("mongodb")["MONGODB_URL"].rpartition("/")[0]
        return Broker(f"{url}/faults_{uuid4().hex[:8]}?directConnection=true", options)
    if kind == "zookeeper":
        url = request.getfixturevalue("servers").env("zookeeper")["ZOOKEEPER_URL"]
        return Broker(f"{url}/faults-{uuid4().hex[:8]}", options)
    if kind == "sqs":
        environment = request.getfixturevalue("servers").env("sqs")
        own = {"endpoint_url": environment["SQS_ENDPOINT"], "is_secure": False, **SQS}
        return Broker(environment["SQS_URL"], {**options, **own})
    if kind in ("etcd", "consul"):
        url = request.getfixturevalue("servers").env(kind)[f"{kind.upper()}_URL"]
        # The published package doesn't know the option, and takes any.
        return Broker(url, {**options, "lease": 2})
    if kind == "filesystem":
        folder: Path = request.getfixturevalue("tmp_path")
        for name in ("messages", "control"):
            (folder / name).mkdir()
        own = {
            "data_folder_in": str(folder / "messages"),
            "data_folder_out": str(folder / "messages"),
            "control_folder": str(folder / "control"),
        }
        return Broker("filesystem://", {**options, **own})
    return Broker(f"memory:///{uuid4().hex}", options)


@pytest.fixture
def memory(request: pytest.FixtureRequest, options: dict[str, Any]) -> Iterator[Broker]:
    """A broker inside the process."""
    with _broker("memory", request, options) as broker:
        yield broker


@pytest.fixture(
    params=["memory", "filesystem", pytest.param("redis", marks=pytest.mark.server("redis"))]
)
def virtual(request: pytest.FixtureRequest, options: dict[str, Any]) -> Iterator[Broker]:
    """A broker of the virtual layer: each in turn."""
    with _broker(request.param, request, options) as broker:
        yield broker


@pytest.fixture
def folders(request: pytest.FixtureRequest, options: dict[str, Any]) -> Iterator[Broker]:
    """A broker made of folders."""
    with _broker("filesystem", request, options) as broker:
        yield broker


@pytest.fixture(
    params=[
        pytest.param("etcd", marks=pytest.mark.server("etcd")),
        pytest.param("consul", marks=pytest.mark.server("consul")),
    ]
)
def keyvalue(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A broker in a key-value server: each in turn."""
    with _broker(request.param, request, {}) as broker:
        yield broker


@pytest.fixture
def redis(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Redis; tests that take it are marked ``server("redis")``."""
    with _broker("redis", request, {}) as broker:
        yield broker


@pytest.fixture
def amqp(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """RabbitMQ; tests that take it are marked ``server("rabbitmq")``."""
    with _broker("amqp", request, {}) as broker:
        yield broker


@pytest.fixture
def mongodb(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """MongoDB; tests that take it are marked ``server("mongodb")``."""
    with _broker("mongodb", request, {}) as broker:
        yield broker


@pytest.fixture
def zookeeper(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """ZooKeeper; tests that take it are marked ``server("zookeeper")``."""
    with _broker("zookeeper", request, {}) as broker:
        yield broker


@pytest.fixture
def sqs(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """SQS; tests that take it are marked ``server("sqs")``."""
    with _broker("sqs", request, {}) as broker:
        yield broker


# ---- the record, for the runner


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    report: pytest.TestReport = yield
    outcomes = item.config.stash.setdefault(_outcomes, {})
    entry = outcomes.setdefault(
        item.nodeid,
        {
            "faults": [str(name) for mark in item.iter_markers("fault") for name in mark.args],
            "test": getattr(item, "originalname", item.name),
            "case": item.name,
            "green": True,
            "why": "",
            "seconds": 0.0,
        },
    )
    entry["seconds"] += call.duration
    if report.failed or report.skipped:
        entry["green"] = False
        error = call.excinfo
        entry["why"] = entry["why"] or (f"{error.typename}: {error.value}"[:300] if error else "")
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = os.environ.get("KOMBU_FAULTS_JSON")
    if path:
        outcomes = session.config.stash.get(_outcomes, {})
        with suppress(OSError):
            record = {"version": kombu.__version__, "outcomes": list(outcomes.values())}
            Path(path).write_text(json.dumps(record, indent=1))
