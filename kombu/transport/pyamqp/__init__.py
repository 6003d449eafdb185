"""AMQP 0-9-1 (RabbitMQ) on py-amqp.

``wire`` has the bytes, ``link`` the socket, ``confirms`` who waits for what; ``connection`` and
``channel`` are py-amqp's with these in the places where most time is spent and waits had no
limit. What is written to the broker is the same, byte for byte.
"""

from __future__ import annotations

from .channel import Channel
from .connection import Connection, ConnectionBlocked
from .message import Message
from .options import AMQPOptions
from .transport import DEFAULT_PORT, DEFAULT_SSL_PORT, SSLTransport, Transport

__all__ = (
    "DEFAULT_PORT",
    "DEFAULT_SSL_PORT",
    "AMQPOptions",
    "Channel",
    "Connection",
    "ConnectionBlocked",
    "Message",
    "SSLTransport",
    "Transport",
)
