"""The virtual layer: the broker that a backend without one lacks."""

from __future__ import annotations

from queue import Empty

from kombu.transport.virtual.channel import Channel
from kombu.transport.virtual.envelope import Base64, Message
from kombu.transport.virtual.errors import NotEquivalentError, UndeliverableWarning
from kombu.transport.virtual.hooks import AbstractChannel
from kombu.transport.virtual.management import Management
from kombu.transport.virtual.qos import QoS
from kombu.transport.virtual.state import BrokerState, binding_key_t, queue_binding_t
from kombu.transport.virtual.transport import Transport

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
    "binding_key_t",
    "queue_binding_t",
)
