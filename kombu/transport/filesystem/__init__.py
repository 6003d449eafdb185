"""Filesystem transport (``filesystem://``): folders as a broker, shared by many processes.

The layout is that of 5.7, so that both may use the same folders. What is taken is held in
the taking process's name and returns when that process is gone: nothing is lost with it.
"""

from __future__ import annotations

import os
import threading
from weakref import WeakValueDictionary

from kombu.transport import virtual
from kombu.transport.filesystem.control import Control
from kombu.transport.filesystem.errors import ERRORS, mapped
from kombu.transport.filesystem.folders import Folder
from kombu.transport.filesystem.locks import LOCK_EX, LOCK_NB, LOCK_SH, lock, unlock
from kombu.transport.filesystem.names import Clock
from kombu.transport.filesystem.options import FilesystemOptions
from kombu.transport.filesystem.queues import Queues
from kombu.transport.filesystem.store import FilesystemStore
from kombu.transport.filesystem.topology import FilesystemTopology
from kombu.transport.options import shown_by
from kombu.transport.virtual.drivers import DriverChannel
from kombu.transport.virtual.store import Store
from kombu.transport.virtual.topology import Topology

__all__ = ("LOCK_EX", "LOCK_NB", "LOCK_SH", "Channel", "Transport", "lock", "unlock")


class _Registry:
    """What all connections of this process to the same folders share."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._lock = threading.Lock()
        self._topologies: WeakValueDictionary[tuple[str, ...], Topology] = WeakValueDictionary()

    def topology(self, folders: tuple[str, ...], vhost: str, control: Control) -> Topology:
        """Exchanges and queues: exclusive queues and consumers are known to one another."""
        with self._lock:
            topology = self._topologies.get(folders)
            if topology is None:
                shared = FilesystemTopology(control, Queues(control))
                topology = self._topologies[folders] = Topology(vhost=vhost, shared=shared)
            return topology


_registry = _Registry()


@shown_by(FilesystemOptions)
class Channel(DriverChannel):
    """A channel of a broker made of folders."""

    #: Kept from 5.7; fanout goes through the bindings like every other type.
    supports_fanout = True


class Transport(virtual.Transport):
    """Folders as a broker; which ones, the transport options say.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = FilesystemOptions
    options: FilesystemOptions
    default_port = 0
    driver_type = "filesystem"
    driver_name = "filesystem"
    features = FilesystemStore.features
    errors = ERRORS

    def create_store(self) -> Store:
        """Messages of the folders."""
        options = self.options
        reading = Folder(options.data_folder_in, "data_folder_in", options.fsync)
        writing = Folder(options.data_folder_out, "data_folder_out", options.fsync)
        processed = None
        if options.store_processed:
            processed = os.path.abspath(options.processed_folder)
            with mapped("open the folder of the transport option 'processed_folder'"):
                os.scandir(processed).close()
        queues = Queues(Control(options.control_folder))
        shared = self.topology.shared
        return FilesystemStore(
            reading, writing, queues, _registry.clock, lambda: self.polling_interval, processed,
            shared.forget_queue if isinstance(shared, FilesystemTopology) else None,
        )  # fmt: skip

    def create_topology(self) -> Topology:
        """Exchanges and bindings of the control folder, shared with all its users."""
        options = self.options
        folders = (options.control_folder, options.data_folder_in, options.data_folder_out)
        control = Control(options.control_folder)
        paths = tuple(os.path.abspath(folder) for folder in folders)
        return _registry.topology(paths, self._vhost(), control)

    def driver_version(self) -> str:
        """There is no client library."""
        return "N/A"
