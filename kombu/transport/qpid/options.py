"""What ``transport_options`` a connection by AMQP 1.0 takes."""

from __future__ import annotations

from dataclasses import dataclass

from kombu.transport.options import option, seconds
from kombu.transport.virtual.settings import VirtualOptions


@dataclass(frozen=True, eq=False)
class QpidOptions(VirtualOptions):
    """All of them ours: what 5.7 handed to a client that needs Python 2 means nothing here."""

    sasl_mechanisms: str | None = option(
        None, "SASL mechanisms that may be used, separated by blanks; None: what both sides know"
    )
    operation_timeout: float = option(
        30.0, "seconds the server may take to confirm, attach or answer", parse=seconds
    )
    ca_certs: str | None = option(None, "file of certificates to verify the server by, with ssl")
