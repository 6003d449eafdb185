"""Options of the filesystem transport."""

from __future__ import annotations

from dataclasses import dataclass

from kombu.transport.options import boolean, option
from kombu.transport.virtual.settings import VirtualOptions


@dataclass(frozen=True)
class FilesystemOptions(VirtualOptions):
    """Where messages are kept; a consumer's "in" is a producer's "out"."""

    data_folder_in: str = option("data_in", "folder that messages are read from; must exist")
    data_folder_out: str = option("data_out", "folder that messages are written to; must exist")
    store_processed: bool = option(
        False, "keep acknowledged messages in processed_folder", parse=boolean
    )
    processed_folder: str = option("processed", "folder for acknowledged messages")
    control_folder: str = option("control", "folder of exchanges and queues; made when missing")
    fsync: bool = option(
        False, "confirm a message only once it is on the disk itself (slower)", parse=boolean
    )
