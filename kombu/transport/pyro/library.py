"""Pyro5, or Pyro4 where only that is installed: what the transport uses of either."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from kombu.transport.clients import missing_client

#: What proxies write: both libraries read it by default, and fast.
SERIALIZER = "json"


class Library(NamedTuple):
    """One of the two libraries.

    Arguments:
        api: the module with ``Proxy``, ``Daemon``, ``expose`` and ``current_context``.
        errors: the module of its exceptions.
        serializers: the class that exceptions are registered with.
        config: its settings, of the whole process.
        version: as the library says it.
    """

    api: Any
    errors: Any
    serializers: Any
    config: Any
    version: str

    def proxy(self, uri: str, timeout: float) -> Any:
        """A proxy, not yet connected, whose calls take ``timeout`` seconds at most."""
        proxy = self.api.Proxy(uri)
        proxy._pyroTimeout = timeout
        proxy._pyroSerializer = SERIALIZER
        return proxy

    def name_server(self, host: str, port: int, timeout: float) -> Any:
        """A proxy of the name server there."""
        return self.proxy(f"PYRO:Pyro.NameServer@{host}:{port}", timeout)


def load() -> Library:
    """The installed library.

    Raises:
        ImportError: neither is installed; says what to install.
    """
    for package, api, serializers in (
        ("Pyro5", "Pyro5.api", "Pyro5.serializers"),
        ("Pyro4", "Pyro4", "Pyro4.util"),
    ):
        try:
            top = importlib.import_module(package)
        except ModuleNotFoundError as exc:
            if exc.name != package:
                raise
            continue
        return Library(
            importlib.import_module(api),
            importlib.import_module(f"{package}.errors"),
            importlib.import_module(serializers).SerializerBase,
            top.config,
            str(top.__version__),
        )
    raise missing_client("pyro", "pyro", "Pyro5")


LIBRARY = load()
