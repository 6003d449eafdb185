"""Fields of log records: what a record is about, for those who search logs by machine.

Each is an attribute of the record, with ``kombu_`` before its name, so that it collides with
nobody's:

``kombu_transport``
    scheme of the connection's transport.
``kombu_host``
    host and port, without credentials.
``kombu_vhost``
    virtual host.
``kombu_queue``, ``kombu_exchange``, ``kombu_routing_key``
    what the record is about.
``kombu_delivery_tag``, ``kombu_message_id``
    which message.
``kombu_reason``
    what happened, in a word.
``kombu_count``
    how many messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ("log_fields", "message_fields", "server_of")


def log_fields(connection: Any = None, **fields: Any) -> dict[str, Any]:
    """``extra`` of a log call.

    Arguments:
        connection: the :class:`kombu.Connection`, if there is one.
        **fields: others, by their names without ``kombu_``; those that are ``None`` are left out.
    """
    found: dict[str, Any] = {}
    if connection is not None:
        scheme = getattr(connection, "transport_cls", None)
        found["kombu_transport"] = scheme if isinstance(scheme, str) else _class_name(scheme)
        host, port = server_of(connection)
        found["kombu_host"] = f"{host}:{port}" if port else host
        found["kombu_vhost"] = getattr(connection, "virtual_host", None)
    found.update((f"kombu_{name}", value) for name, value in fields.items() if value is not None)
    return found


def message_fields(message: Any, **fields: Any) -> dict[str, Any]:
    """``extra`` of a log call about a received message."""
    info: Mapping[str, Any] = message.delivery_info or {}
    transport = getattr(message.channel, "connection", None)
    return log_fields(
        getattr(transport, "client", None),
        **{
            "queue": getattr(message, "source_queue", None),
            "exchange": info.get("exchange"),
            "routing_key": info.get("routing_key"),
            "delivery_tag": message.delivery_tag,
            "message_id": (message.properties or {}).get("message_id"),
            **fields,
        },
    )


def server_of(connection: Any) -> tuple[str, int | None]:
    """Host and port of a connection; of a host that is given as a URL no credentials."""
    hostname = without_credentials(getattr(connection, "hostname", None))
    return hostname, getattr(connection, "port", None) or None


def without_credentials(hostname: str | None) -> str:
    """A host name; one that is given as a URL without credentials and query."""
    hostname = str(hostname or "localhost")
    if "://" in hostname or "@" in hostname:
        hostname = hostname.rpartition("@")[2].partition("?")[0].rpartition("://")[2]
    return hostname


def _class_name(scheme: Any) -> str | None:
    return getattr(scheme, "driver_type", None)
