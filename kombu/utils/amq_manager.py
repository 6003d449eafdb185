"""The management interface of RabbitMQ."""

from __future__ import annotations

from typing import Any

__all__ = ("get_manager",)

#: Where the management plugin listens when nothing else is said.
DEFAULT_MANAGEMENT_PORT = 15672


def get_manager(
    client: Any,
    hostname: str | None = None,
    port: int | None = None,
    userid: str | None = None,
    password: str | None = None,
) -> Any:
    """A client of the management API (``pyrabbit``).

    Arguments:
        client: the connection whose host, user and password are used where none are given.
        hostname, port, userid, password: instead of the connection's. They may also be set in
            the connection's ``transport_options`` as ``manager_hostname`` and so on.

    Raises:
        ImportError: pyrabbit is not installed.
    """
    try:
        import pyrabbit
    except ImportError as exc:
        raise ImportError("the management interface needs pyrabbit: pip install pyrabbit") from exc
    options = client.transport_options or {}

    def setting(given: Any, name: str, default: Any) -> Any:
        return given if given is not None else options.get(f"manager_{name}", default)

    host = setting(hostname, "hostname", client.hostname or "localhost")
    return pyrabbit.Client(
        f"{host}:{setting(port, 'port', DEFAULT_MANAGEMENT_PORT)}",
        setting(userid, "userid", client.userid or "guest"),
        setting(password, "password", client.password or "guest"),
    )
