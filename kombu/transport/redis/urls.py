"""From a :class:`kombu.Connection` to the arguments of redis-py's connections."""

from __future__ import annotations

import socket
import ssl
import warnings
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry

from kombu.transport.redis.options import SOCKET_TIMEOUT, RedisOptions
from kombu.transport.redis.target import further_addresses, target_of
from kombu.utils.imports import symbol_by_name

DEFAULT_PORT = 6379
DEFAULT_DB = 0
SENTINEL_PORT = 26379

CONNECT_TIMEOUT = 5.0

_DOTLESS = (None, "", "/")


class InsecureConnectionWarning(UserWarning):
    """The server's certificate is not checked."""


def database(virtual_host: Any) -> int:
    """The number of the database a URL names.

    Raises:
        ValueError: it is not a number.
    """
    if virtual_host in _DOTLESS:
        return DEFAULT_DB
    if isinstance(virtual_host, int):
        return virtual_host
    text = str(virtual_host).strip("/")
    if text.isdecimal():
        return int(text)
    raise ValueError(f"Database is int between 0 and limit - 1, not {text!r}")


def keepalive_options() -> dict[int, int]:
    """Probe after 30 s of silence, give up after three probes 10 s apart."""
    wanted = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
    found = {
        getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)
    }
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        found[socket.TCP_USER_TIMEOUT] = 60_000
    return found


def _keepalive_from(given: Mapping[Any, int] | None) -> dict[int, int]:
    if given is None:
        return keepalive_options()
    return {getattr(socket, key) if isinstance(key, str) else key: v for key, v in given.items()}


def certificate_policy(value: Any) -> str:
    """``ssl_cert_reqs`` in any of its spellings, as redis-py takes it.

    Raises:
        ValueError: unknown spelling.
    """
    names = {ssl.CERT_NONE: "none", ssl.CERT_OPTIONAL: "optional", ssl.CERT_REQUIRED: "required"}
    if value is None:
        return "none"
    if isinstance(value, int):
        value = names.get(ssl.VerifyMode(value), value)
    text = str(value).lower().removeprefix("cert_")
    if text not in names.values():
        raise ValueError(f"ssl_cert_reqs must be required, optional or none, not {value!r}")
    return text


def ssl_parameters(given: Any) -> dict[str, Any]:
    """Arguments of an ``SSLConnection``: certificates are checked unless told otherwise.

    Arguments:
        given: ``Connection(ssl=...)``: true, or a mapping with or without ``ssl_`` before its keys.
    """
    parameters: dict[str, Any] = {}
    if isinstance(given, Mapping):
        for key, value in given.items():
            name = key if key.startswith("ssl") else f"ssl_{key}"
            parameters[name] = value
    parameters["ssl_cert_reqs"] = certificate_policy(parameters.get("ssl_cert_reqs", "required"))
    if isinstance(parameters.get("ssl_check_hostname"), str):
        parameters["ssl_check_hostname"] = parameters["ssl_check_hostname"].lower() in (
            "1",
            "true",
            "yes",
        )
    if parameters["ssl_cert_reqs"] == "none":
        parameters["ssl_check_hostname"] = False
        warnings.warn(
            "ssl_cert_reqs=none: the certificate of the Redis server is not checked, so anybody "
            "in between can read and change what is sent",
            InsecureConnectionWarning,
            stacklevel=6,
        )
    return parameters


def _provider(value: Any) -> Any:
    if isinstance(value, str):
        value = symbol_by_name(value)
    if isinstance(value, type):
        value = value()
    return value


def _socket_address(hostname: str) -> dict[str, Any] | None:
    """Path, credentials and database of a unix socket, or ``None`` for TCP."""
    if not hostname.startswith("socket://"):
        return None
    parts = urlsplit(hostname)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    found: dict[str, Any] = {"path": unquote(parts.path)}
    if parts.username:
        found["username"] = unquote(parts.username)
    if parts.password:
        found["password"] = unquote(parts.password)
    if "virtual_host" in query:
        found["db"] = database(query["virtual_host"])
    return found


def connection_parameters(client: Any, options: RedisOptions) -> dict[str, Any]:
    """What redis-py needs to connect: arguments of the pool, ``connection_class`` among them.

    Arguments:
        client: the :class:`kombu.Connection`.
        options: its transport options.

    Raises:
        ValueError: the database is not a number, or an option's value is no good.
    """
    target = target_of(client)
    hostname = target.hostname
    timeout = options.socket_timeout
    connect_timeout = options.socket_connect_timeout
    if connect_timeout is None:
        connect_timeout = client.connect_timeout or CONNECT_TIMEOUT
    parameters: dict[str, Any] = {
        "host": hostname,
        "port": int(target.port or DEFAULT_PORT),
        "username": target.userid,
        "password": target.password,
        "max_connections": max(options.max_connections, 2),
        "socket_timeout": SOCKET_TIMEOUT if timeout is None else timeout or None,
        "socket_connect_timeout": connect_timeout,
        "socket_keepalive": True if options.socket_keepalive is None else options.socket_keepalive,
        "socket_keepalive_options": _keepalive_from(options.socket_keepalive_options),
        "health_check_interval": options.health_check_interval or 0,
        "retry_on_timeout": bool(options.retry_on_timeout),
        "retry": Retry(NoBackoff(), 0),
        "client_name": options.client_name,
        "protocol": 2,
        "connection_class": Connection,
    }
    unix = _socket_address(hostname)
    if unix is not None:
        for key in ("host", "port", "socket_keepalive", "socket_keepalive_options"):
            del parameters[key]
        parameters["db"] = database(target.virtual_host)
        parameters.update(unix, connection_class=UnixDomainSocketConnection)
    else:
        parameters["db"] = database(target.virtual_host)
        if target.ssl:
            parameters.update(ssl_parameters(target.ssl), connection_class=SSLConnection)
    provider = _provider(
        options.credential_provider or getattr(client, "credential_provider", None)
    )
    if provider is not None:
        parameters["credential_provider"] = provider
        parameters["username"] = parameters["password"] = None
    return parameters


def sentinel_addresses(client: Any) -> list[tuple[str, int]]:
    """Host and port of each sentinel a connection's URLs name.

    Raises:
        ValueError: a URL can't be read.
    """
    target = target_of(client)
    own = (target.hostname, int(target.port or SENTINEL_PORT))
    return further_addresses(client, SENTINEL_PORT) or [own]
