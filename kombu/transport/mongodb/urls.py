"""MongoDB connection strings: where to, which database, which client settings."""

from __future__ import annotations

from typing import Any

from pymongo import uri_parser

from kombu.transport.masking import masked_query
from kombu.transport.mongodb.errors import ERRORS
from kombu.transport.mongodb.options import MongoOptions


def masked(uri: str, mask: str) -> str:
    """The URI with its password hidden, and a slash behind each host, as 5.7 shows it."""
    scheme, separator, rest = masked_query(uri, mask).partition("://")
    before, question, query = rest.partition("?")
    credentials, at, place = before.rpartition("@")
    user, colon, _ = credentials.partition(":")
    if colon:
        rest = f"{user}:{mask}{at}{place}{question}{query}"
    hosts = [host if "/" in host else f"{host}/" for host in rest.split(",")]
    return f"{scheme}{separator}{','.join(hosts)}"


def client_settings(client: Any, options: MongoOptions) -> tuple[str, str, dict[str, Any]]:
    """What :class:`pymongo.MongoClient` is made with.

    Arguments:
        client: the :class:`kombu.Connection`; its ``hostname`` is the URI.

    Returns:
        the URI, the name of the database, and settings; the URI's own settings win.

    Raises:
        ValueError: the URI can't be read; says why, without its password.
    """
    uri = client.hostname or "mongodb://"
    if not uri.startswith(("mongodb://", "mongodb+srv://")):
        uri = f"mongodb://{uri}"
    if uri == "mongodb://":
        uri += options.default_hostname
    if client.userid and "@" not in uri:
        scheme, _, rest = uri.partition("://")
        uri = f"{scheme}://{client.userid}:{client.password}@{rest}"
    with ERRORS.mapped(f"read the URI {masked(uri, '**')}"):
        parsed = uri_parser.parse_uri(uri, options.default_port)
    given = {key.lower() for key in parsed["options"]}
    settings: dict[str, Any] = {
        "port": options.default_port,
        "socketTimeoutMS": int(options.socket_timeout * 1000),
        "w": "majority",
        "retryWrites": False,  # BrokerDatabase.write does
        "appname": "kombu",
    }
    timeout = options.connect_timeout or client.connect_timeout
    if timeout:
        settings["connectTimeoutMS"] = settings["serverSelectionTimeoutMS"] = int(timeout * 1000)
    if options.ssl or client.ssl:
        settings["tls"] = True
    settings = {key: value for key, value in settings.items() if key.lower() not in given}
    return uri, parsed.get("database") or options.default_database, settings
