"""The transport that the documentation shows passes the conformance suite."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kombu.testing.conformance import Harness, TransportConformance

EXAMPLES = Path(__file__).parents[3] / "examples"
sys.path.insert(0, str(EXAMPLES))

from sqlite_transport import Transport  # noqa: E402


class TestSQLite(TransportConformance):
    features = Transport.features

    @pytest.fixture
    def harness(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
        monkeypatch.setenv("PYTHONPATH", str(EXAMPLES))
        with Harness(
            "sqlite://",
            connection_options={"transport": "sqlite_transport:Transport"},
            transport_options={"path": str(tmp_path / "broker.sqlite"), "lease": 2.0},
            lease=2.0,
        ) as harness:
            yield harness
