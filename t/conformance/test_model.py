"""Transports against the in-memory broker as the model."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from kombu.testing.conformance import Harness
from kombu.testing.conformance.model import agrees_with_memory
from t.conformance.test_filesystem import folders
from t.services.pool import Servers


@pytest.fixture(autouse=True)
def unroutable() -> None:
    # Random messages often have no queue to go to, and that is warned about.
    warnings.simplefilter("ignore")


def test_memory_agrees_with_itself() -> None:
    agrees_with_memory(lambda: Harness("memory://"))


def test_filesystem(tmp_path: Path) -> None:
    options = folders(tmp_path)
    agrees_with_memory(lambda: Harness("filesystem://", transport_options=options))


@pytest.mark.server("rabbitmq")
def test_rabbitmq(servers: Servers) -> None:
    url = servers.env("rabbitmq")["RABBITMQ_URL"]
    agrees_with_memory(lambda: Harness(url, always_strict=True))


@pytest.mark.server("redis")
def test_redis(servers: Servers) -> None:
    url = servers.env("redis")["REDIS_URL"]
    agrees_with_memory(lambda: Harness(url), kinds=("direct", "topic"))
