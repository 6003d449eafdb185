"""What hosts and URLs say about a connection."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kombu.transport import get_transport_cls, is_scheme
from kombu.utils.imports import Late
from kombu.utils.url import parse_url

__all__ = ("read_host", "split_hosts", "warn_unknown_arguments")

get_close_matches = Late("difflib:get_close_matches")

#: Arguments of a connection that the query of a URL may give; others are transport options.
QUERY_ARGUMENTS = frozenset({"connect_timeout", "heartbeat", "insist", "login_method", "ssl"})

#: Arguments of a connection that only code may give.
_CODE_ONLY = frozenset({"alternates", "failover_strategy", "transport_options", "uri_prefix"})

_OFF = ("0", "false", "no", "off")


def split_hosts(
    hostname: str | Sequence[str] | None, alternates: Iterable[str] | None
) -> tuple[str | None, list[str]]:
    """The host to begin with, and all hosts to fail over between (empty if it is the only one).

    Arguments:
        hostname: a host or URL, several of them joined by ``;``, or a sequence.
        alternates: further ones; they come before those of a sequence, after those of a text.
    """
    hosts: list[str] = []
    further = list(alternates or ())
    if isinstance(hostname, str) and ";" in hostname:
        hosts = [host.strip() for host in hostname.split(";") if host.strip()]
        hostname = hosts[0] if hosts else ""
    elif hostname is not None and not isinstance(hostname, str):
        hosts, further = further + [str(host) for host in hostname], []
        hostname = hosts[0] if hosts else ""
    return hostname, hosts + further


def read_host(host: str | None, transport: Any = None) -> dict[str, Any]:
    """Connection arguments as a host name or a URL gives them; absent ones are left out.

    Arguments:
        host: a bare name gives ``hostname`` only.
        transport: given by code; wins over the URL's scheme.

    Raises:
        ValueError: the scheme is none that a URL may have, the port is no port.
        TypeError: the query has an argument that only code may give.
        NoSuchTransport: a ``KeyError``.
    """
    if not host or "://" not in host:
        return {"hostname": host}
    scheme, _, rest = host.partition("://")
    prefix, plus, driver = scheme.partition("+")
    prefix = prefix if prefix == "SQS" else prefix.lower()
    if not is_scheme(prefix):
        raise ValueError(f"Invalid transport scheme: {prefix!r}")
    transport = transport or prefix
    if plus:
        return {"transport": transport, "hostname": f"{driver}://{rest}", "uri_prefix": prefix}
    if get_transport_cls(transport).can_parse_url:
        return {"transport": transport, "hostname": host}
    given = {name: value for name, value in parse_url(host).items() if value is not None}
    return {**_sorted_query(given), "transport": transport}


def _sorted_query(given: Mapping[str, Any]) -> dict[str, Any]:
    """Tell arguments of the connection from options of the transport."""
    arguments: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for name, value in given.items():
        if name in _CODE_ONLY:
            raise TypeError(f"{name!r} can't be given in a URL")
        if name == "credential_provider":
            arguments[name] = _loaded_object(value)
        elif name in QUERY_ARGUMENTS:
            arguments[name] = _converted(name, value)
        elif name in ("transport", "hostname", "port", "userid", "password", "virtual_host"):
            arguments[name] = value
        else:
            options[name] = value
    if options:
        arguments["transport_options"] = options
    return arguments


def _converted(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name in ("connect_timeout", "heartbeat"):
        try:
            return float(value)
        except ValueError:
            raise ValueError(f"{name} in the URL must be a number of seconds") from None
    if name in ("ssl", "insist") and value.lower() in _OFF:
        return False
    return value


def _loaded_object(path: str) -> Any:
    """An instance of the class at ``path`` if its module is loaded; a URL never loads one."""
    module_name, _, name = path.replace(":", ".").rpartition(".")
    provider = getattr(sys.modules.get(module_name), name, None)
    if not isinstance(provider, type):
        raise ValueError(
            f"credential_provider={path!r} in a URL: no class of a module that is loaded; import "
            "the module first, or give Connection(credential_provider=...) an instance"
        )
    return provider()


def warn_unknown_arguments(given: Iterable[str], known: Iterable[str]) -> None:
    """Connection() takes any keyword, for those of other versions; name the likely mistakes."""
    for name in given:
        near = get_close_matches(name, list(known), n=1, cutoff=0.75)
        if near:
            warnings.warn(
                f"Connection() knows no argument {name!r}; did you mean {near[0]!r}?",
                UserWarning,
                stacklevel=4,
            )
