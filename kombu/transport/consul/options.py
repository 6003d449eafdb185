"""What ``transport_options`` a Consul connection takes."""

from __future__ import annotations

from dataclasses import dataclass

from kombu.transport.options import option, seconds
from kombu.transport.virtual.settings import VirtualOptions


@dataclass(frozen=True)
class ConsulOptions(VirtualOptions):
    """The published transport has no options of its own; these are ours."""

    lease: float = option(
        30.0,
        "seconds a dead consumer's messages are held back, at the least; Consul takes 10 to 86400 "
        "and may take twice as long",
        parse=seconds,
    )
    operation_timeout: float = option(30.0, "seconds any one request may take", parse=seconds)
