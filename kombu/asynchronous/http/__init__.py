"""A non-blocking HTTP client for the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..hub import Hub, get_event_loop
from . import curl, threaded
from .base import BaseClient, Headers, Request, Response

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ("BaseClient", "Client", "Headers", "Request", "Response", "get_client")

_clients: MutableMapping[Any, BaseClient] = WeakKeyDictionary()


def Client(hub: Any = None, **kwargs: Any) -> BaseClient:
    """A new client: on libcurl where pycurl is installed, else on urllib3 in a few threads.

    Arguments:
        hub: the event loop, default the process's.
        max_clients: how many requests run at the same time, default 10.

    Raises:
        ImportError: neither pycurl nor urllib3 is installed; says what to install.
    """
    if curl.pycurl is not None:
        return curl.CurlClient(hub, **kwargs)
    return threaded.ThreadedClient(hub, **kwargs)


def get_client(hub: Any = None, **kwargs: Any) -> BaseClient:
    """The client of an event loop, default the process's; made when first asked for."""
    hub = hub or get_event_loop() or Hub()
    client = _clients.get(hub)
    if client is None or getattr(client, "closed", False):
        client = _clients[hub] = Client(hub, **kwargs)
    return client
