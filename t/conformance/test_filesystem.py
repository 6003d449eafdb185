"""The conformance suite on ``filesystem://``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from amqp.exceptions import ChannelError

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


class FileNames:
    """Exchanges are files: their names are limited, as they were in 5.7."""

    def test_exchange_name_with_spaces_and_dots(self, harness: Harness, channel: Any) -> None:
        exchange = harness.named_exchange(harness.name("an odd.näme"), "direct")(channel)
        with pytest.raises(ChannelError, match="odd"):
            exchange.declare()
        harness.named_exchange(harness.name("dots..and-dashes"), "direct")(channel).declare()


class TestFilesystem(FileNames, TransportConformance):
    features = Transport.features

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[Harness]:
        with Harness("filesystem://", transport_options=folders(tmp_path)) as harness:
            yield harness


class TestFilesystemStrict(FileNames, TransportConformance):
    features = Transport.features
    drop_in = False

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[Harness]:
        with Harness("filesystem://", transport_options=folders(tmp_path), strict=True) as harness:
            yield harness
