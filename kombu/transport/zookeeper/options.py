"""What ``transport_options`` a ZooKeeper connection takes."""

from __future__ import annotations

from dataclasses import dataclass

from kombu.transport.options import option, seconds
from kombu.transport.virtual.settings import VirtualOptions


@dataclass(frozen=True)
class ZookeeperOptions(VirtualOptions):
    """The published transport has no options of its own; these are ours."""

    session_timeout: float = option(
        10.0, "seconds after which a dead consumer's messages are free again", parse=seconds
    )
    operation_timeout: float = option(30.0, "seconds any one request may take", parse=seconds)
