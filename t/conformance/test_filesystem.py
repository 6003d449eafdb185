"""The conformance suite on ``filesystem://``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.filesystem import Transport


def folders(root: Path) -> dict[str, Any]:
    for name in ("data", "processed", "control"):
        (root / name).mkdir()
    return {
        "data_folder_in": str(root / "data"),
        "data_folder_out": str(root / "data"),
        "processed_folder": str(root / "processed"),
        "control_folder": str(root / "control"),
    }


class TestFilesystem(TransportConformance):
    features = Transport.features

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[Harness]:
        with Harness("filesystem://", transport_options=folders(tmp_path)) as harness:
            yield harness


class TestFilesystemStrict(TransportConformance):
    features = Transport.features
    drop_in = False

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[Harness]:
        with Harness("filesystem://", transport_options=folders(tmp_path), strict=True) as harness:
            yield harness
