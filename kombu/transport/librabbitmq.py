"""``librabbitmq://``: served by the AMQP transport.

The C client librabbitmq is no longer maintained and does not build on the Pythons that are
supported here. URLs with its name go on working.
"""

from __future__ import annotations

import warnings
from typing import Any

from . import pyamqp
from .pyamqp import DEFAULT_PORT, DEFAULT_SSL_PORT, Channel, Connection, Message

__all__ = (
    "DEFAULT_PORT",
    "DEFAULT_SSL_PORT",
    "Channel",
    "Connection",
    "Message",
    "SSLTransport",
    "Transport",
)

_ABSENT = (
    "the client library 'librabbitmq' is not used any more: librabbitmq:// is served by the "
    "amqp:// transport (py-amqp); use an amqp:// URL to be rid of this warning"
)


class Transport(pyamqp.Transport):
    """The AMQP transport under the name of librabbitmq."""

    def __init__(self, client: Any, **kwargs: Any) -> None:
        warnings.warn(_ABSENT, UserWarning, stacklevel=2)
        super().__init__(client, **kwargs)


class SSLTransport(pyamqp.SSLTransport):
    """The same under TLS."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(_ABSENT, UserWarning, stacklevel=2)
        super().__init__(*args, **kwargs)
