"""What ``transport_options`` connections to key-value servers take."""

from __future__ import annotations

from dataclasses import dataclass

from kombu.transport.options import option, seconds
from kombu.transport.virtual.settings import VirtualOptions


@dataclass(frozen=True)
class KeyValueOptions(VirtualOptions):
    """The published transports have no options of their own; these are ours."""

    lease: float = option(
        30.0,
        "seconds a dead consumer's messages are held back (Consul takes 10 to 86400)",
        parse=seconds,
    )
    operation_timeout: float = option(30.0, "seconds any one request may take", parse=seconds)
