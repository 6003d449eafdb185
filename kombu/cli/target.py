"""What a command was to reach, as its diagnosis names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kombu.connection import Connection


@dataclass(frozen=True)
class Target:
    """What was to be reached.

    Arguments:
        scheme: the URL's.
        tls: whether TLS was asked for.
    """

    scheme: str
    host: str
    port: int | None
    vhost: str
    user: str | None
    tls: bool

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}" if self.port and "://" not in self.host else self.host

    @property
    def amqp(self) -> bool:
        return "amqp" in self.scheme

    @property
    def here(self) -> bool:
        """Whether it is on this machine."""
        return self.host == "localhost" or self.host.startswith("127.") or self.host == "::1"


def target_of(connection: Connection, url: str) -> Target:
    """The target of a connection, which need not be connected.

    Raises:
        ImportError: the client library is missing.
    """
    fields = connection.info()
    scheme = str(fields["transport"])
    if scheme == "redis" and connection.ssl:
        scheme = "rediss"
    return Target(
        scheme,
        str(fields["hostname"] or "localhost"),
        fields["port"],
        str(fields["virtual_host"] or "/"),
        fields["userid"],
        bool(connection.ssl) or url.split(":")[0] in ("rediss", "amqps"),
    )


def unknown_target(url: str) -> Target:
    """The target of a URL that could not be read."""
    return Target(url.partition(":")[0], "the broker", None, "/", None, False)


def addresses(url: str, schemes: tuple[str, ...]) -> list[str]:
    """The addresses of a URL that lists several, to be tried in turn; else the URL alone.

    Arguments:
        schemes: those whose drivers use one address at a time.
    """
    parts: list[Any] = url.split(";")
    alike = all(part.partition("://")[0] in schemes and "://" in part for part in parts)
    return parts if alike else [url]
