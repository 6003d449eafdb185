"""The names that lived here; they are at home in the modules beside this one."""

from __future__ import annotations

from queue import Empty

from kombu.transport.virtual.channel import Channel
from kombu.transport.virtual.envelope import Base64, Message
from kombu.transport.virtual.errors import NotEquivalentError, UndeliverableWarning
from kombu.transport.virtual.exchange_types import STANDARD_EXCHANGE_TYPES
from kombu.transport.virtual.hooks import AbstractChannel
from kombu.transport.virtual.management import Management
from kombu.transport.virtual.qos import QoS
from kombu.transport.virtual.state import BrokerState, binding_key_t, queue_binding_t
from kombu.transport.virtual.transport import Transport

__all__ = (
    "STANDARD_EXCHANGE_TYPES",
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
