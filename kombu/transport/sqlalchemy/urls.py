"""Which database a connection means."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from sqlalchemy.engine import URL, make_url

from kombu.transport.masking import masked_query
from kombu.transport.sqlalchemy.errors import ERRORS

#: Scheme without a driver -> drivers to look for, the preferred one first.
_DRIVERS = {
    "postgresql": ("psycopg", "psycopg2"),
    "mysql": ("MySQLdb", "pymysql"),
    "mariadb": ("MySQLdb", "pymysql"),
}


def database_url(client: Any, scheme: str | None = None) -> URL:
    """The URL to connect to.

    Arguments:
        client: the :class:`kombu.Connection`; its ``hostname`` is the URL.
        scheme: what the URL starts with where the transport's own name is part of it.

    Raises:
        ConnectionError: (AMQP's) the URL can't be read; says why, without its password.
    """
    text = str(client.hostname or "")
    if scheme is not None:
        text = _own_scheme(text, scheme)
    with ERRORS.mapped("read the database URL"):
        url = make_url(text)
    return with_driver(url)


def _own_scheme(text: str, scheme: str) -> str:
    head, separator, rest = text.partition("://")
    if not separator:
        return f"{scheme}://{text}"
    if head in ("postgresql", "postgres") or head.startswith(("postgresql+", "postgres+")):
        driver = head.partition("+")[2]
    else:
        driver = head
    return f"{scheme}+{driver}://{rest}" if driver else f"{scheme}://{rest}"


def with_driver(url: URL) -> URL:
    """The URL with a driver that is installed, where it names none."""
    for driver in _DRIVERS.get(url.drivername, ()):
        if find_spec(driver) is not None:
            dialect = "mysqldb" if driver == "MySQLdb" else driver
            return url.set(drivername=f"{url.drivername}+{dialect}")
    return url


def masked(uri: str, mask: str) -> str:
    """The URL with its password hidden, wherever it stands."""
    uri = masked_query(uri, mask)
    head, separator, rest = uri.partition("://")
    credentials, at, host = rest.rpartition("@")
    if not at or ":" not in credentials:
        return uri
    return f"{head}{separator}{credentials.partition(':')[0]}:{mask}@{host}"
