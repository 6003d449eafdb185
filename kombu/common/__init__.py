"""Patterns made of connections, consumers and producers."""

from __future__ import annotations

from kombu.messaging.declaration import declaration_cached, maybe_declare
from kombu.utils.uuid import uuid

from .broadcast import Broadcast
from .consuming import collect_replies, drain_consumer, eventloop, itermessages, send_reply
from .insurance import ignore_errors, insured, revive_connection
from .oid import generate_oid, get_node_id, oid_from
from .qos import PREFETCH_COUNT_MAX, QoS

__all__ = (
    "PREFETCH_COUNT_MAX",
    "Broadcast",
    "QoS",
    "collect_replies",
    "declaration_cached",
    "drain_consumer",
    "eventloop",
    "generate_oid",
    "get_node_id",
    "ignore_errors",
    "insured",
    "itermessages",
    "maybe_declare",
    "oid_from",
    "revive_connection",
    "send_reply",
    "uuid",
)
