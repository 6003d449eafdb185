"""Exchanges, queues and bindings as they are declared."""

from __future__ import annotations

from .bindings import binding, pretty_bindings
from .delivery_mode import (
    DELIVERY_MODES,
    INTERNAL_EXCHANGE_PREFIX,
    PERSISTENT_DELIVERY_MODE,
    TRANSIENT_DELIVERY_MODE,
    maybe_delivery_mode,
)
from .exchange import Exchange
from .queue import Queue

__all__ = (
    "DELIVERY_MODES",
    "INTERNAL_EXCHANGE_PREFIX",
    "PERSISTENT_DELIVERY_MODE",
    "TRANSIENT_DELIVERY_MODE",
    "Exchange",
    "Queue",
    "binding",
    "maybe_delivery_mode",
    "pretty_bindings",
)
