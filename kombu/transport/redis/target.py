"""What a connection's URL points at, also where the scheme has a second part.

``redis+cluster://`` and ``redis+streams://`` (``rediss+...`` with TLS) reach the transport as
a URL within the host name, which is read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

_KINDS = frozenset({"cluster", "streams", "sentinel"})


@dataclass(frozen=True)
class Target:
    """Where to connect, and what is there.

    Arguments:
        kinds: of ``cluster``, ``streams`` and ``sentinel`` those that the scheme names.
        options: transport options from the URL's query.
    """

    hostname: str = "localhost"
    port: int | None = None
    userid: str | None = None
    password: str | None = field(default=None, repr=False)
    virtual_host: Any = None
    ssl: Any = False
    kinds: frozenset[str] = frozenset()
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


def target_of(client: Any) -> Target:
    """Read a :class:`kombu.Connection`.

    Raises:
        ValueError: the URL within the host name can't be read, or the scheme is unknown.
    """
    secure = bool(str(getattr(client, "transport_cls", "")).startswith("rediss"))
    hostname = client.hostname or "localhost"
    ssl = client.ssl or secure
    driver, separator, _ = hostname.partition("://")
    kinds = frozenset(driver.split("+")) if separator else frozenset()
    if kinds and not kinds <= _KINDS and driver != "socket":
        # Going on would show the rest, password and all, as the name of a host.
        raise ValueError("after redis+ a URL's scheme may say cluster, streams, sentinel or socket")
    if not kinds or driver == "socket":
        return Target(
            hostname, client.port, client.userid, client.password, client.virtual_host, ssl
        )
    parts = urlsplit(hostname)
    query = dict(parse_qsl(parts.query))
    tls = {key: value for key, value in query.items() if key.startswith("ssl_")}
    if ssl and tls:
        ssl = {**(ssl if isinstance(ssl, Mapping) else {}), **tls}
    try:
        port = parts.port
    except ValueError as exc:
        raise ValueError("the port in a Redis URL must be a number") from exc
    return Target(
        parts.hostname or "localhost",
        port or client.port,
        unquote(parts.username) if parts.username else client.userid,
        unquote(parts.password) if parts.password else client.password,
        parts.path.lstrip("/") or client.virtual_host,
        ssl,
        kinds,
        {key: value for key, value in query.items() if key not in tls},
    )


def further_addresses(client: Any, default_port: int) -> list[tuple[str, int]]:
    """Host and port of each URL a connection was given.

    Raises:
        ValueError: one can't be read.
    """
    found: list[tuple[str, int]] = []
    for url in getattr(client, "alt", None) or ():
        try:
            parts = urlsplit(url if "://" in url else f"redis://{url}")
            found.append((parts.hostname or "localhost", parts.port or default_port))
        except ValueError as exc:
            raise ValueError("one of the URLs has no valid host and port") from exc
    return found
