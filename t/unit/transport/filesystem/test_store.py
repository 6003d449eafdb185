"""The filesystem store against the store contract, and what is its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from kombu.testing.conformance.store import OpenStore, StoreContract
from kombu.transport.filesystem.control import Control
from kombu.transport.filesystem.folders import Folder
from kombu.transport.filesystem.names import Clock
from kombu.transport.filesystem.queues import Queues
from kombu.transport.filesystem.store import FilesystemStore
from kombu.transport.virtual.store import Store


class Folders:
    """Opens stores on folders of their own."""

    def __init__(self, root: Path) -> None:
        self.data = root / "data"
        self.control = root / "control"
        self.processed = root / "processed"
        self.data.mkdir()
        self.processed.mkdir()
        self.clock = Clock()

    def open(self, processed: bool = False) -> FilesystemStore:
        return FilesystemStore(
            Folder(str(self.data), "data_folder_in"),
            Folder(str(self.data), "data_folder_out"),
            Queues(Control(str(self.control))),
            self.clock,
            lambda: 0.5,
            str(self.processed) if processed else None,
        )

    def files(self) -> list[str]:
        return sorted(path.name for path in self.data.iterdir() if path.is_file())


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


class TestContract(StoreContract):
    @pytest.fixture
    def open_store(self, folders: Folders) -> OpenStore:
        def open_one() -> Store:
            return folders.open()

        return open_one
