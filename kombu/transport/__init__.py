"""The registry of transports: which class serves which URL scheme.

Built-in transports are listed in :data:`TRANSPORT_ALIASES`, where applications may add their
own. Installed distributions add theirs through the entry point group ``kombu.transports``
(name: the scheme, value: ``package.module:Class``). A transport is imported when it is first
asked for.
"""

from __future__ import annotations

from typing import Any

from kombu.utils.imports import Late, symbol_by_name

__all__ = (
    "DEFAULT_TRANSPORT",
    "ENTRY_POINT_GROUP",
    "TRANSPORT_ALIASES",
    "NoSuchTransport",
    "get_transport_cls",
    "is_scheme",
    "resolve_transport",
    "supports_librabbitmq",
)

get_close_matches = Late("difflib:get_close_matches")

#: What a URL without a scheme, and a connection without a transport, uses.
DEFAULT_TRANSPORT = "amqp"

#: Group in which installed distributions announce transports.
ENTRY_POINT_GROUP = "kombu.transports"

#: Scheme -> ``package.module:Class``, a class, or a function that returns either.
TRANSPORT_ALIASES: dict[str, Any] = {
    "amqp": "kombu.transport.pyamqp:Transport",
    "amqps": "kombu.transport.pyamqp:SSLTransport",
    "pyamqp": "kombu.transport.pyamqp:Transport",
    "librabbitmq": "kombu.transport.librabbitmq:Transport",
    "confluentkafka": "kombu.transport.confluentkafka:Transport",
    "kafka": "kombu.transport.confluentkafka:Transport",
    "memory": "kombu.transport.memory:Transport",
    "redis": "kombu.transport.redis:Transport",
    "rediss": "kombu.transport.redis:Transport",
    "SQS": "kombu.transport.SQS:Transport",
    "sqs": "kombu.transport.SQS:Transport",
    "mongodb": "kombu.transport.mongodb:Transport",
    "zookeeper": "kombu.transport.zookeeper:Transport",
    "sqlalchemy": "kombu.transport.sqlalchemy:Transport",
    "sqla": "kombu.transport.sqlalchemy:Transport",
    "postgresql": "kombu.transport.sqlalchemy:PostgresTransport",
    "postgres": "kombu.transport.sqlalchemy:PostgresTransport",
    "SLMQ": "kombu.transport.SLMQ.Transport",
    "slmq": "kombu.transport.SLMQ.Transport",
    "filesystem": "kombu.transport.filesystem:Transport",
    "qpid": "kombu.transport.qpid:Transport",
    "sentinel": "kombu.transport.redis:SentinelTransport",
    "consul": "kombu.transport.consul:Transport",
    "etcd": "kombu.transport.etcd:Transport",
    "azurestoragequeues": "kombu.transport.azurestoragequeues:Transport",
    "azureservicebus": "kombu.transport.azureservicebus:Transport",
    "pyro": "kombu.transport.pyro:Transport",
    "gcpubsub": "kombu.transport.gcpubsub:Transport",
    "pgmq": "kombu.transport.pgmq:Transport",
    "nats": "kombu.transport.nats:Transport",
}


class NoSuchTransport(KeyError):
    """No transport has this name; the text says which name is near, if one is."""

    def __str__(self) -> str:
        # KeyError would show the text in quotes.
        return str(self.args[0])


def is_scheme(name: str) -> bool:
    """Whether ``name`` may stand for a transport in a URL.

    Import paths may not: a URL often comes from a setting or an environment variable and
    must never decide which module is imported.
    """
    return name in TRANSPORT_ALIASES or not (":" in name or "." in name)


def resolve_transport(transport: Any = None) -> Any:
    """Find the class of a transport.

    Arguments:
        transport: a scheme, a path ``package.module:Class`` (or ``package.module.Class``), or
            the class itself, which is returned as it is.

    Raises:
        NoSuchTransport: a ``KeyError``; neither built in nor installed under that name.
        ImportError: the path's module, or a client library that the transport needs, is missing.
    """
    if not isinstance(transport, str):
        return transport
    target = TRANSPORT_ALIASES.get(transport)
    if target is None:
        target = transport if _is_path(transport) else _installed(transport)
    if callable(target) and not isinstance(target, type):
        target = target()
    try:
        return symbol_by_name(target)
    except ModuleNotFoundError as exc:
        if transport not in TRANSPORT_ALIASES or target != f"{exc.name}:Transport":
            raise
        raise NoSuchTransport(
            f"The transport {transport} is known, but not in this version of kombu yet"
        ) from exc


def get_transport_cls(transport: Any = None) -> Any:
    """As :func:`resolve_transport`."""
    return resolve_transport(transport)


def supports_librabbitmq() -> bool:
    """Whether the C client ``librabbitmq`` is installed."""
    from importlib.util import find_spec  # not at the top: slow, and hardly ever needed

    return find_spec("librabbitmq") is not None


def _is_path(name: str) -> bool:
    return ":" in name or "." in name


def _installed(name: str) -> str:
    """The path that an installed distribution announces for ``name``."""
    # Not at the top: it takes as long as all of `import kombu` and few processes need it.
    from importlib.metadata import entry_points

    announced = {entry.name: entry.value for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if name in announced:
        return TRANSPORT_ALIASES.setdefault(name, announced[name])  # type: ignore[no-any-return]
    near = get_close_matches(name, [*TRANSPORT_ALIASES, *announced], n=2)
    hint = f".  Did you mean {' or '.join(near)}?" if near else ""
    raise NoSuchTransport(f"No such transport: {name}{hint}")
