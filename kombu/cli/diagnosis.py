"""From an exception to its cause and what mends it, in words."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from amqp.exceptions import AccessRefused, NotAllowed

from kombu.cli.target import Target
from kombu.transport import NoSuchTransport

_WRONG_PASSWORD = re.compile(
    r"invalid username-password|WRONGPASS|Authentication required|NOAUTH|Authentication failed"
    r"|invalid password|password authentication failed|InvalidClientTokenId"
    r"|SignatureDoesNotMatch|Access denied for user|Authorization Violation"
    r"|insufficient credentials|user authentication failed|failed to authenticate",
    re.IGNORECASE,
)
_WRONG_VHOST = re.compile(
    r"DB index is out of range|Database is int between|vhost .* not found"
    r"|database \S+ does not exist|Unknown database|NamingError: unknown name",
    re.IGNORECASE,
)
_NO_PERMISSION = re.compile(
    r"\bNOPERM\b|access to (vhost|queue|exchange|topic) .* refused"
    r"|permission denied for|not authorized on \S+ to execute",
    re.IGNORECASE,
)
_DEAD_PORT = re.compile(r"connection (was )?refused|connect call failed", re.IGNORECASE)
_NOT_TLS = re.compile("WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE")


@dataclass(frozen=True)
class Diagnosis:
    """Why something failed, and what to do.

    Arguments:
        kind: a word for programs, e.g. ``wrong-password``.
    """

    kind: str
    cause: str
    mend: str


def chain(exc: BaseException) -> Iterator[BaseException]:
    """An exception and what it was raised from."""
    seen: set[int] = set()
    current: BaseException | None = exc
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def diagnose(exc: BaseException, target: Target) -> Diagnosis:
    """Say why ``exc`` came and what mends it; the first rule that fits any exception of its chain.

    The cause may hold what the broker said: cut secrets out before printing.
    """
    causes = list(chain(exc))
    for rule in (_client, _certificate, _credentials, _permission, _vhost, _network, _files):
        found = rule(causes, target)
        if found is not None:
            return found
    if isinstance(exc, ValueError):
        return Diagnosis("wrong-value", str(exc), "correct the URL or the option that it names")
    return Diagnosis(
        "unknown",
        f"{type(exc).__name__}: {exc}",
        "see the server's log; the page of this transport in the documentation lists its limits",
    )


def speaks_tls(target: Target) -> Diagnosis:
    """The server speaks TLS and plain text was used."""
    if target.amqp:
        mend = "use the scheme amqps:// (or --tls), or the plain port (usually 5672)"
    elif target.scheme == "redis":
        mend = "use the scheme rediss:// (or --tls), or the server's plain port"
    else:
        mend = "use --tls (Connection(ssl=...)), or the server's plain port"
    return Diagnosis("tls-mismatch", f"the server at {target.where} speaks TLS, the URL does not",
                     mend)  # fmt: skip


def speaks_plain(target: Target) -> Diagnosis:
    """TLS was used and the server does not speak it."""
    plain = {"amqps": "amqp://", "rediss": "redis://"}.get(target.scheme, "no TLS")
    port = " (usually 5671)" if target.amqp else ""
    return Diagnosis(
        "tls-mismatch",
        f"TLS was asked for, but the server at {target.where} does not speak it",
        f"use the server's TLS port{port}, or {plain} if the network is trusted",
    )


def _client(causes: list[BaseException], target: Target) -> Diagnosis | None:
    for exc in causes:
        if isinstance(exc, NoSuchTransport):
            return Diagnosis(
                "no-such-transport",
                str(exc),
                "check the scheme of the URL; transports of other distributions must be installed",
            )
        if isinstance(exc, ImportError):
            text = str(exc)
            command = re.search(r"pip install '[^']+'", text)
            return Diagnosis(
                "missing-client",
                text.split(" Install it with:")[0],
                f"run: {command[0]}" if command else f"install the package of {exc.name!r}",
            )
    return None


def _certificate(causes: list[BaseException], target: Target) -> Diagnosis | None:
    for exc in causes:
        if isinstance(exc, ssl.SSLCertVerificationError):
            reason = getattr(exc, "verify_message", "") or str(exc)
            return Diagnosis(
                "untrusted-certificate",
                f"the certificate of {target.where} was refused: {reason}",
                "give the authority that signed it: --tls-ca FILE "
                "(Connection(ssl={'ca_certs': FILE})), and use the host name that it was made for",
            )
        text = str(exc)
        if isinstance(exc, ssl.SSLError) and _NOT_TLS.search(text):
            return speaks_plain(target)
        if "TLS was asked for, but the server does not speak it" in text:
            return speaks_plain(target)
    return None


def _credentials(causes: list[BaseException], target: Target) -> Diagnosis | None:
    for exc in causes:
        if "default credentials were not found" in str(exc):
            return Diagnosis(
                "no-credentials",
                "Google's client has found no credentials",
                "run: gcloud auth application-default login; or name a service account's key file "
                "in GOOGLE_APPLICATION_CREDENTIALS; or an emulator in PUBSUB_EMULATOR_HOST",
            )
        refused = isinstance(exc, AccessRefused) and "login" in str(exc).lower()
        if refused or _WRONG_PASSWORD.search(str(exc)):
            mend = "check user name and password; quote special characters (@ is %40, / is %2F)"
            if target.amqp and target.user in (None, "guest") and not target.here:
                mend += "; RabbitMQ lets guest in from its own machine only: make a user"
            elif target.scheme.startswith("redis") and not target.user:
                mend += "; with a password only, write redis://:PASSWORD@HOST"
            user = f" for user {target.user!r}" if target.user else ""
            return Diagnosis(
                "wrong-password", f"the server at {target.where} refused the login{user}", mend
            )
    return None


def _permission(causes: list[BaseException], target: Target) -> Diagnosis | None:
    for exc in causes:
        if _NO_PERMISSION.search(str(exc)):
            user = target.user or ("guest" if target.amqp else None)
            if target.amqp:
                mend = (
                    f"run: rabbitmqctl set_permissions -p {target.vhost} {user} '.*' '.*' '.*' "
                    "(or patterns that match the names it uses: configure, write, read)"
                )
            elif "redis" in target.scheme:
                mend = "let the user do it: redis-cli ACL SETUSER USER +@all ~* &*"
            else:
                mend = "give this user the right on the server, or use another"
            whom = f"user {user!r}" if user else "this user"
            return Diagnosis("no-permission", f"{whom} is logged in but may not: {exc}", mend)
    return None


def _vhost(causes: list[BaseException], target: Target) -> Diagnosis | None:
    for exc in causes:
        if isinstance(exc, NotAllowed) or _WRONG_VHOST.search(str(exc)):
            name = target.vhost
            what = "broker" if target.scheme == "pyro" else "virtual host or database"
            if target.amqp:
                mend = (
                    f"run: rabbitmqctl add_vhost {name} && rabbitmqctl set_permissions -p {name} "
                    f"{target.user or 'guest'} '.*' '.*' '.*'; or use another name after the "
                    "host in the URL (// is the virtual host '/')"
                )
            elif "redis" in target.scheme:
                mend = (
                    "use a database number below the server's 'databases' (usually 16): "
                    "redis://HOST/0"
                )
            elif target.scheme == "pyro":
                mend = (
                    "start the broker, python -m kombu.transport.pyro, or use the name after the "
                    "host that it is registered by"
                )
            else:
                mend = "create it, or use another name after the host in the URL"
            return Diagnosis("wrong-vhost", f"there is no {what} {name!r}: {exc}", mend)
    return None


def _files(causes: list[BaseException], target: Target) -> Diagnosis | None:
    for exc in causes:
        if isinstance(exc, FileNotFoundError):
            mend = "create the folder, or correct the option or path that names it"
            return Diagnosis("missing-file", str(exc.strerror or exc) + _file_of(exc), mend)
        if isinstance(exc, PermissionError):
            mend = "let this user read and write there, or run as another"
            return Diagnosis("no-permission", str(exc.strerror or exc) + _file_of(exc), mend)
    return None


def _file_of(exc: OSError) -> str:
    return f": {exc.filename!r}" if exc.filename else ""


def _network(causes: list[BaseException], target: Target) -> Diagnosis | None:
    for exc in causes:
        if isinstance(exc, socket.gaierror):
            return Diagnosis(
                "unknown-host",
                f"the host name {target.host!r} can't be resolved",
                "check its spelling, and the name service of this machine",
            )
        if isinstance(exc, ConnectionRefusedError) or _DEAD_PORT.search(str(exc)):
            return Diagnosis(
                "dead-port",
                f"nothing listens at {target.where}",
                "start the server, or check host and port of the URL",
            )
        if isinstance(exc, TimeoutError):
            return Diagnosis(
                "no-answer",
                f"{target.where} did not answer in time",
                "check that no firewall drops packets and that the server is not stuck; "
                "--timeout gives it longer",
            )
        if isinstance(exc, ConnectionResetError):
            return Diagnosis(
                "closed",
                f"the server at {target.where} closed the connection: {exc}",
                "check that the port belongs to a server of this kind, and its log",
            )
    return None
