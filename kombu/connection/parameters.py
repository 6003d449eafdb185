"""What a connection connects to."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any
from urllib.parse import quote

from kombu.connection.address import read_host, split_hosts, warn_unknown_arguments
from kombu.connection.failover import failover_strategies, next_host, strategy_named
from kombu.connection.masking import MASK, masked, masked_url
from kombu.transport import DEFAULT_TRANSPORT, get_transport_cls
from kombu.utils.collections import HashedSeq
from kombu.utils.url import as_url

__all__ = ("ConnectionParameters", "resolve_aliases")

#: Scheme -> the scheme that is shown for it.
resolve_aliases: dict[str, str] = {"pyamqp": "amqp", "librabbitmq": "amqp"}

_URI_FIELDS = itemgetter("port", "userid", "password", "virtual_host", "transport")


class ConnectionParameters:
    """Hosts, credentials and options of a connection, and which of its hosts is in use.

    Arguments:
        unknown: arguments of :class:`~kombu.Connection` that it does not have.
        given: its others; ``transport_options`` is a copy.
    """

    connect_timeout: Any = 5
    virtual_host: str = "/"
    hostname: str | None = None
    userid: Any = None
    password: Any = None
    port: int | None = None
    ssl: Any = None
    login_method: str | None = None
    transport_options: dict[str, Any] = None  # type: ignore[assignment]
    heartbeat: Any = None
    uri_prefix: str | None = None
    insist: bool = False
    transport_cls: Any = None
    credential_provider: Any = None
    failover_strategy: Any = "round-robin"

    #: Iterator over the hosts to fail over to; ``None`` without alternates.
    cycle: Iterator[str] | None = None

    failover_strategies = failover_strategies
    resolve_aliases = resolve_aliases

    def __init__(
        self,
        hostname: Any,
        alternates: Sequence[str] | None,
        failover_strategy: Any,
        unknown: Mapping[str, Any],
        **given: Any,
    ) -> None:
        if unknown:
            warn_unknown_arguments(unknown, (*given, "hostname", "failover_strategy", "alternates"))
        first, self.alt = split_hosts(hostname, alternates)
        address = read_host(first, given["transport"])
        self._given = given
        self._first = {**given, **address}
        self._assign({**given, **address})
        self._failover_strategy = failover_strategy or "round-robin"
        self.failover_strategy = self._failover_strategy
        if self.alt or self._failover_strategy in self.failover_strategies:
            # Without alternates a name that nobody knows does no harm.
            self.failover_strategy = strategy_named(
                self._failover_strategy, self.failover_strategies
            )
        self._hosts = self._candidates(first) if self.alt else []
        if self.alt:
            self.cycle = self.failover_strategy(self._hosts)
            next_host(self.cycle)  # the one that is in use

    def _assign(self, arguments: dict[str, Any]) -> None:
        options = {**self._given["transport_options"], **(arguments["transport_options"] or {})}
        port = arguments["port"]
        self.hostname = arguments.get("hostname")
        self.userid = arguments["userid"]
        self.password = arguments["password"]
        self.virtual_host = arguments["virtual_host"] or "/"
        self.port = int(port) if port else None
        self.insist = arguments["insist"]
        self.ssl = arguments["ssl"]
        self.transport_cls = arguments["transport"] or DEFAULT_TRANSPORT
        self.connect_timeout = arguments["connect_timeout"]
        self.transport_options = options
        self.login_method = arguments["login_method"]
        self.uri_prefix = arguments["uri_prefix"]
        self.heartbeat = arguments["heartbeat"] and float(arguments["heartbeat"])
        self.credential_provider = arguments["credential_provider"]

    def _candidates(self, first: str | None) -> list[str]:
        """All hosts, the one that is in use among them."""
        if first in self.alt:
            return list(self.alt)
        here = (self.hostname, self.port)
        for host in self.alt:
            there = read_host(host)
            if (there.get("hostname"), there.get("port")) == here:
                return list(self.alt)
        return [first or "", *self.alt]

    def switch(self, conn_str: str) -> None:
        """Use another host.

        Arguments:
            conn_str: a bare name replaces the host name only. A URL has its own credentials,
                unless only keywords gave any; port and virtual host that it leaves out are
                those of the first host, if it has the same transport.
        """
        address = read_host(conn_str, self._given["transport"])
        base = self._first
        if len(address) > 1:
            base = dict(self._given)
            if self._first["userid"] != base["userid"] or "userid" in address:
                base.update(userid=None, password=None)
            if address["transport"] == self._first["transport"]:
                base.update(port=self._first["port"], virtual_host=self._first["virtual_host"])
        self._assign({**base, **address})

    def maybe_switch_next(self) -> None:
        """Switch to the next of the alternates, if there are any."""
        if self.cycle is None:
            return
        host = next_host(self.cycle)
        if host is None:
            self.cycle = self.failover_strategy(self._hosts)
            host = next_host(self.cycle)
        if host is not None:
            self.switch(host)

    def completes_cycle(self, retries: int) -> bool:
        """Whether all hosts have been tried once more after ``retries`` retries."""
        return not (retries + 1) % len(self._hosts) if self.alt else True

    # ---- for display, and for others like it

    @property
    @abstractmethod
    def transport(self) -> Any:
        """Knows what is connected to when nothing was said."""

    @property
    def host(self) -> str:
        """``hostname:port`` as they were given."""
        return f"{self.hostname or ''}:{self.port}"

    def get_transport_cls(self) -> Any:
        """The class of the transport."""
        if isinstance(self.transport_cls, str):
            return get_transport_cls(self.transport_cls)
        return self.transport_cls

    def supports_exchange_type(self, exchange_type: str) -> bool:
        """Whether the transport routes by exchanges of this type."""
        return exchange_type in self.transport.implements.exchange_type

    def _arguments(self) -> dict[str, Any]:
        """Arguments that make an equal connection; passwords in clear."""
        hostname = self.hostname
        if self.uri_prefix and hostname and "://" in hostname:
            hostname = f"{self.uri_prefix}+{hostname}"
        return {
            "hostname": hostname,
            "userid": self.userid,
            "password": self.password,
            "virtual_host": self.virtual_host,
            "port": self.port,
            "insist": self.insist,
            "ssl": self.ssl,
            "transport": self.transport_cls,
            "connect_timeout": self.connect_timeout,
            "transport_options": dict(self.transport_options),
            "login_method": self.login_method,
            "uri_prefix": self.uri_prefix,
            "heartbeat": self.heartbeat,
            "failover_strategy": self._failover_strategy,
            "alternates": list(self.alt),
            "credential_provider": self.credential_provider,
        }

    def _resolved(self) -> dict[str, Any]:
        """:meth:`_arguments` with what the transport adds where nothing was said."""
        defaults = self.transport.default_connection_params  # first: the transport may set ``ssl``
        arguments = {**self._arguments(), "hostname": self.hostname}
        for name, default in defaults.items():
            if not arguments.get(name):
                arguments[name] = default
        if self.uri_prefix:
            arguments["hostname"] = f"{self.uri_prefix}+{arguments['hostname']}"
        arguments["transport"] = self._scheme()
        return arguments

    def _scheme(self) -> Any:
        name = self.transport_cls
        return self.resolve_aliases.get(name, name) if isinstance(name, str) else name

    def info(self, include_password: bool = False) -> dict[str, Any]:
        """All parameters, with the transport's defaults filled in.

        Arguments:
            include_password: show passwords, tokens and keys; otherwise they are masked, in
                alternates, URLs and transport options too.
        """
        resolved = self._resolved()
        if include_password:
            return resolved
        shown = dict(masked(resolved))
        if not self.password:  # the transport's default is no secret
            shown["password"] = resolved["password"]
        return shown

    def as_uri(
        self,
        include_password: bool = False,
        mask: str = MASK,
        getfields: Callable[[Any], tuple[Any, ...]] = _URI_FIELDS,
    ) -> str:
        """The URL of the host in use.

        Arguments:
            include_password: show the password instead of ``mask``.
            getfields: takes port, userid, password, virtual host and transport from :meth:`info`.
        """
        if self.get_transport_cls().can_parse_url or self.uri_prefix:
            return self._own_uri(self.hostname or "", include_password, mask)
        fields = self._resolved()
        port, userid, password, virtual_host, scheme = getfields(fields)
        if not isinstance(scheme, str):
            scheme = getattr(scheme, "driver_type", "transport")
        if not include_password:
            password = mask
        elif callable(password):
            password = password()
        return as_url(
            scheme,
            fields["hostname"] or "localhost",
            port,
            userid() if callable(userid) else userid,
            password,
            quote(virtual_host),
            sanitize=not include_password,
            mask=mask,
        )

    def _own_uri(self, uri: str, include_password: bool, mask: str) -> str:
        """The URL of a transport that has its own form of them."""
        if self.get_transport_cls().can_parse_url:
            try:
                return str(self.transport.as_uri(uri, include_password, mask))
            except NotImplementedError:
                pass  # then it is of the usual form
        if not include_password:
            uri = masked_url(uri, mask)
        return f"{self.uri_prefix}+{uri}" if self.uri_prefix else uri

    def clone(self, **kwargs: Any) -> Any:
        """A connection like this one, not yet connected.

        Arguments:
            **kwargs: arguments of the constructor that are to be different.
        """
        return self._cloned(type(self), kwargs)

    def _cloned(self, make: Callable[..., Any], changes: dict[str, Any]) -> Any:
        copy = make(**{**self._arguments(), **changes})
        copy._inherit(self._given, self._first, changes)
        return copy

    def _own_key(self) -> tuple[Any, ...]:
        """What else tells it from others with the same parameters."""
        return ()

    def _inherit(
        self, given: dict[str, Any], first: dict[str, Any], changes: dict[str, Any]
    ) -> None:
        """Switch between hosts as the connection does that this one was copied from."""
        changes = {name: value for name, value in changes.items() if name in given}
        self._given = {**given, **changes}
        self._first = {**first, **changes, "hostname": self._first.get("hostname")}

    def __copy__(self) -> Any:
        return self.clone()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(self._arguments().values())

    def __eqhash__(self) -> HashedSeq:
        """What makes two connections one and the same to a pool; holds no password."""
        return HashedSeq(
            self.transport_cls,
            self.hostname,
            self.userid,
            hash(self.password),
            self.virtual_host,
            self.port,
            hash(repr((self.transport_options, self.ssl, self.alt))),
            *self._own_key(),
        )

    def __repr__(self) -> str:
        return f"<Connection: {self.as_uri()} at {id(self):#x}>"
