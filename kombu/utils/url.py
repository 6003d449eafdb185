"""URLs of brokers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple
from urllib.parse import ParseResult, parse_qsl, quote, unquote, urlparse

from .loggers import get_logger

__all__ = (
    "as_url",
    "maybe_sanitize_url",
    "parse_ssl_cert_reqs",
    "parse_url",
    "safequote",
    "sanitize_url",
    "url_to_parts",
    "urlparse",
    "urlparts",
)

#: Whether this Python has TLS; it is loaded, which takes a while, by who uses it.
ssl_available = find_spec("_ssl") is not None

safequote = partial(quote, safe="")
logger = get_logger(__name__)


class urlparts(NamedTuple):
    """A URL in its parts, percent-decoded; ``None`` for what is absent or empty."""

    scheme: str
    hostname: str | None
    port: int | None
    username: str | None
    password: str | None
    path: str | None
    query: Mapping[str, str]


#: Fields of :func:`parse_url` that a query may not set.
_RESERVED = ("transport", "hostname", "port", "userid", "password", "virtual_host")


def parse_url(url: str) -> dict[str, Any]:
    """Parse a broker's URL into connection arguments.

    Returns:
        ``transport``, ``hostname``, ``port``, ``userid``, ``password`` and ``virtual_host``, and
        the query's arguments; those that start with ``ssl_`` come together as ``ssl``.

    Raises:
        ValueError: it is no URL, the port is no number from 0 to 65535.
        KeyError: ``ssl_cert_reqs`` is none of those of :func:`parse_ssl_cert_reqs`.
        TypeError: an argument in the query is what another part of the URL says too.
    """
    scheme, host, port, user, password, path, query = url_to_parts(url)
    arguments: dict[str, Any] = {
        "transport": scheme,
        "hostname": host,
        "port": port,
        "userid": user,
        "password": password,
        "virtual_host": path,
    }
    for name in query:
        if name in _RESERVED:
            raise TypeError(f"{name!r} can't be given in the query of a {scheme!r} URL")
    if "ssl" in query and any(name.startswith("ssl_") for name in query):
        raise TypeError(f"'ssl' and 'ssl_*' can't both be in the query of a {scheme!r} URL")
    tls: dict[str, Any] = {}
    for name, value in query.items():
        if not name.startswith("ssl_"):
            arguments[name] = value
        elif name == "ssl_check_hostname":
            tls[name] = value.lower() != "false"
        elif name == "ssl_cert_reqs":
            tls[name] = parse_ssl_cert_reqs(value)
        else:
            tls[name] = value
    if tls:
        arguments["ssl"] = tls
    return arguments


def url_to_parts(url: str) -> urlparts:
    """Split a URL.

    Raises:
        ValueError: the port is no number from 0 to 65535, or a bracket of an IPv6 address is open.
    """
    scheme = urlparse(url).scheme
    # Only the schemes of http have a query for urllib everywhere: so all are read as http. What
    # has no scheme loses its first three characters; the recorded vectors say so.
    parts = urlparse("http://" + url[len(scheme) + 3 :])
    path = parts.path.removeprefix("/")
    return urlparts(
        scheme,
        unquote(parts.hostname or "") or None,
        _port(parts),
        unquote(parts.username or "") or None,
        unquote(parts.password or "") or None,
        unquote(path) or None,
        dict(parse_qsl(parts.query)),
    )


_parse_url = url_to_parts


def _port(parts: ParseResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        # What stands there may be half a password, so it is not shown.
        raise ValueError(
            "the port in the URL is no number from 0 to 65535 (characters such as '/', '?', '#' "
            "and ':' in a user or password must be percent-encoded)"
        ) from None


def as_url(
    scheme: str,
    host: str | None = None,
    port: int | None = None,
    user: str | None = None,
    password: str | None = None,
    path: str | None = None,
    query: Any = None,
    sanitize: bool = False,
    mask: str | None = "**",
) -> str:
    """Write a URL.

    Arguments:
        user, password, host: percent-encoded here; the path is written as it is.
        query: not written.
        sanitize: write ``mask`` (``None``: nothing) in place of the password.
    """
    credentials = ""
    if user:
        credentials = safequote(user)
    if password:
        credentials += ":" + ((mask or "") if sanitize else safequote(password))
    if credentials:
        credentials += "@"
    address = safequote(host) if host else ""
    if port:
        address += f":{port}"
    return f"{scheme}://{credentials}{address}/{path or ''}"


def sanitize_url(url: str, mask: str | None = "**") -> str:
    """The URL with ``mask`` in place of its password, and without its query."""
    return as_url(*url_to_parts(url), sanitize=True, mask=mask)


def maybe_sanitize_url(url: Any, mask: str | None = "**") -> Any:
    """:func:`sanitize_url` for a text that has a scheme; anything else as it is."""
    if isinstance(url, str) and "://" in url:
        return sanitize_url(url, mask)
    return url


def parse_ssl_cert_reqs(query_value: str) -> Any:
    """The :class:`ssl.VerifyMode` of ``CERT_REQUIRED``, ``CERT_OPTIONAL``, ``CERT_NONE`` or of
    ``required``, ``optional``, ``none``; without :mod:`ssl`, ``None``.

    Raises:
        KeyError: another value.
    """
    if not ssl_available:
        return None
    import ssl  # not at the top: half of what an in-memory connection would take to load

    return {
        "CERT_REQUIRED": ssl.CERT_REQUIRED,
        "CERT_OPTIONAL": ssl.CERT_OPTIONAL,
        "CERT_NONE": ssl.CERT_NONE,
        "required": ssl.CERT_REQUIRED,
        "optional": ssl.CERT_OPTIONAL,
        "none": ssl.CERT_NONE,
    }[query_value]
