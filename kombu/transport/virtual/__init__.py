"""The virtual layer: the broker that a backend without one lacks."""

from __future__ import annotations

from kombu.transport.virtual import base, exchange
from kombu.transport.virtual.base import (
    AbstractChannel,
    Base64,
    BrokerState,
    Channel,
    Empty,
    Management,
    Message,
    NotEquivalentError,
    QoS,
    Transport,
    UndeliverableWarning,
    binding_key_t,
    queue_binding_t,
)

__all__ = (
    "AbstractChannel",
    "Base64",
    "BrokerState",
    "Channel",
    "Empty",
    "Management",
    "Message",
    "NotEquivalentError",
    "QoS",
    "Transport",
    "UndeliverableWarning",
    "base",
    "binding_key_t",
    "exchange",
    "queue_binding_t",
)
