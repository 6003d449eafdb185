"""What ``transport_options`` an etcd connection takes."""

from __future__ import annotations

from dataclasses import dataclass

from kombu.transport.options import option, seconds
from kombu.transport.virtual.settings import VirtualOptions


@dataclass(frozen=True)
class EtcdOptions(VirtualOptions):
    """The published transport has no options of its own; these are ours."""

    lease: float = option(30.0, "seconds a dead consumer's messages are held back", parse=seconds)
    operation_timeout: float = option(30.0, "seconds any one request may take", parse=seconds)
