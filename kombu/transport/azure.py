"""What the transports of Azure's services share: identities, and errors of their HTTP interface."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from amqp.exceptions import (
    AccessRefused,
    NotFound,
    RecoverableChannelError,
    RecoverableConnectionError,
)
from amqp.exceptions import ChannelError as AMQPChannelError
from amqp.exceptions import ConnectionError as AMQPConnectionError
from azure.core import exceptions

from kombu.transport.clients import load_client
from kombu.transport.errors import ErrorRow, ErrorTable

#: What stands in a URL in place of a key -> the class of azure-identity that it names.
IDENTITIES = ("DefaultAzureCredential", "ManagedIdentityCredential")
DIGEST = 12


def identity(name: str, transport: str) -> Any:
    """The credential that a URL asks for by name.

    Arguments:
        transport: its name, which is also that of the extra.

    Raises:
        ImportError: azure-identity is missing; names what to install.
    """
    return getattr(load_client("azure.identity", transport, transport), name)()


def digested(full: str, head: str, longest: int) -> str:
    """``head``, cut to size, and a digest of ``full``: a name of its own for what has none."""
    digest = sha256(full.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
    return f"{head[: longest - DIGEST - 1].rstrip('-')}-{digest}".lstrip("-")


class HTTPErrorTable(ErrorTable):
    """Adds to the table what the status of a response says."""

    def translate(self, exc: BaseException, doing: str) -> Exception:
        if not isinstance(exc, exceptions.HttpResponseError):
            return super().translate(exc, doing)
        code = error_code(exc)
        first = str(exc.message).partition("\n")[0]
        return kind_of(exc.status_code, code)(f"{doing}: {code or exc.status_code}: {first}")


def error_code(exc: exceptions.HttpResponseError) -> str:
    """The service's own code of an error, e.g. ``"QueueNotFound"``; empty where there is none."""
    code = getattr(exc, "error_code", None)
    return str(getattr(code, "value", code) or "")


def kind_of(status: int | None, code: str) -> type[Exception]:
    """The library's exception for a response."""
    kinds: dict[int, type[Exception]] = {
        400: AMQPChannelError,
        401: AMQPConnectionError,
        403: AMQPConnectionError if "Authentication" in code else AccessRefused,
        404: NotFound,
        413: AMQPChannelError,
        408: RecoverableConnectionError,
        429: RecoverableConnectionError,
    }
    lost: type[Exception] = RecoverableConnectionError
    refused: type[Exception] = RecoverableChannelError
    if status is None or status >= 500:
        return lost
    return kinds.get(status, refused)


#: Rows of azure-core, for the end of a service's own table.
HTTP_ROWS = (
    ErrorRow(exceptions.ClientAuthenticationError, "connection", recoverable=False),
    ErrorRow(exceptions.HttpResponseError, "channel"),
    ErrorRow(exceptions.AzureError, "connection"),
)
