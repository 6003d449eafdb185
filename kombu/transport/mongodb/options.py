"""What ``transport_options`` a MongoDB connection takes."""

from __future__ import annotations

from dataclasses import dataclass

from kombu.transport.options import boolean, option, seconds
from kombu.transport.virtual.settings import VirtualOptions


@dataclass(frozen=True)
class MongoOptions(VirtualOptions):
    """Names and defaults as published, and below them those that are ours."""

    connect_timeout: float | None = option(
        None, "seconds to reach a server; None: the driver's own limit", parse=seconds
    )
    ssl: bool = option(False, "connect by TLS", parse=boolean)
    ttl: bool = option(
        False, "let the server delete expired messages, queues and bindings", parse=boolean
    )
    capped_queue_size: int = option(100_000, "bytes of the broadcast collection", parse=int)
    default_hostname: str = option("127.0.0.1", "server when the URL names none")
    default_port: int = option(27017, "port when the URL names none", parse=int)
    default_database: str = option("kombu_default", "database when the URL names none")
    messages_collection: str = option("messages", "collection of messages")
    routing_collection: str = option("messages.routing", "collection of bindings")
    broadcast_collection: str = option("messages.broadcast", "capped collection for fanout")
    queues_collection: str = option("messages.queues", "collection of queue declarations")
    calc_queue_size: bool = option(
        True, "count messages on declare; False reports 0", parse=boolean
    )

    exchanges_collection: str = option("messages.exchanges", "collection of exchange types")
    lease: float = option(60.0, "seconds a dead consumer's messages are held back", parse=seconds)
    socket_timeout: float = option(30.0, "seconds any one command may take", parse=seconds)
    change_streams: bool = option(
        True, "wake by change stream where the server has them", parse=boolean
    )
