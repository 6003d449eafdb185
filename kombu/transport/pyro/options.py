"""What ``transport_options`` a Pyro connection takes."""

from __future__ import annotations

from dataclasses import dataclass

from kombu.transport.options import option, seconds
from kombu.transport.virtual.settings import VirtualOptions


@dataclass(frozen=True, eq=False)
class PyroOptions(VirtualOptions):
    """The published transport has no options of its own; these are ours."""

    lease: float = option(
        60.0,
        "seconds after which a consumer that is cut off loses what it holds (one that died: at "
        "once)",
        parse=seconds,
    )
    socket_timeout: float = option(30.0, "seconds any one call may take", parse=seconds)
