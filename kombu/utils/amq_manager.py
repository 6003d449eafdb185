"""The management interface of RabbitMQ (its HTTP API), as far as applications ask for it.

The methods are those of ``pyrabbit``, which was used here once and no longer works with the
RabbitMQ of today.
"""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.error import HTTPError as _StatusError
from urllib.parse import quote
from urllib.request import Request, urlopen

from ..exceptions import HttpError

__all__ = ("Manager", "get_manager")

#: Where the management plugin listens when nothing else is said.
DEFAULT_MANAGEMENT_PORT = 15672


class Manager:
    """Client of the management plugin.

    Arguments:
        host: ``hostname:port``.
        user: user name.
        passwd: password.
        timeout: seconds for each request.
        scheme: ``http`` or ``https``.

    Every method raises :class:`~kombu.exceptions.HttpError` when it is refused, and OSError
    when there is no answer.
    """

    def __init__(
        self, host: str, user: str, passwd: str, timeout: float = 5.0, scheme: str = "http"
    ) -> None:
        self.host = host
        self.user = user
        self.timeout = timeout
        self._base = f"{scheme}://{host}/api/"
        credentials = base64.b64encode(f"{user}:{passwd}".encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}", "Accept": "application/json"}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.user} at {self.host}>"

    def _call(self, *path: str, method: str = "GET", body: Any = None) -> Any:
        url = self._base + "/".join(quote(part, safe="") for part in path)
        headers = dict(self._headers)
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        try:
            with urlopen(
                Request(url, data, headers, method=method), timeout=self.timeout
            ) as answer:
                content = answer.read()
        except _StatusError as exc:
            raise HttpError(exc.code, f"{method} {'/'.join(path)}: {exc.reason}") from exc
        return json.loads(content) if content else None

    def is_alive(self, vhost: str = "/") -> bool:
        """Whether a message makes its way through a virtual host."""
        return bool(self._call("aliveness-test", vhost)["status"] == "ok")

    def get_overview(self) -> Any:
        """Versions, rates and totals."""
        return self._call("overview")

    def get_nodes(self) -> Any:
        """The nodes of the cluster."""
        return self._call("nodes")

    def get_all_vhosts(self) -> Any:
        """The virtual hosts."""
        return self._call("vhosts")

    def get_vhost_names(self) -> list[str]:
        """Names of the virtual hosts."""
        return [vhost["name"] for vhost in self.get_all_vhosts()]

    def create_vhost(self, vname: str) -> None:
        """Create a virtual host."""
        self._call("vhosts", vname, method="PUT")

    def delete_vhost(self, vname: str) -> None:
        """Delete a virtual host and all that is in it."""
        self._call("vhosts", vname, method="DELETE")

    def get_connections(self) -> Any:
        """The connections."""
        return self._call("connections")

    def delete_connection(self, name: str) -> None:
        """Close a connection."""
        self._call("connections", name, method="DELETE")

    def get_channels(self) -> Any:
        """The channels."""
        return self._call("channels")

    def get_exchanges(self, vhost: str | None = None) -> Any:
        """The exchanges, of one virtual host or all."""
        return self._of_vhost("exchanges", vhost)

    def get_queues(self, vhost: str | None = None) -> Any:
        """The queues, of one virtual host or all."""
        return self._of_vhost("queues", vhost)

    def get_queue(self, vhost: str, name: str) -> Any:
        """One queue."""
        return self._call("queues", vhost, name)

    def get_queue_depth(self, vhost: str, name: str) -> int:
        """How many messages a queue has, those that are held by consumers among them."""
        return int(self.get_queue(vhost, name)["messages"])

    def purge_queue(self, vhost: str, name: str) -> None:
        """Delete the messages of a queue."""
        self._call("queues", vhost, name, "contents", method="DELETE")

    def delete_queue(self, vhost: str, qname: str) -> None:
        """Delete a queue."""
        self._call("queues", vhost, qname, method="DELETE")

    def get_bindings(self, vhost: str | None = None) -> Any:
        """The bindings, of one virtual host or all."""
        return self._of_vhost("bindings", vhost)

    def _of_vhost(self, what: str, vhost: str | None) -> Any:
        return self._call(what) if vhost is None else self._call(what, vhost)


def get_manager(
    client: Any,
    hostname: str | None = None,
    port: int | None = None,
    userid: str | None = None,
    password: str | None = None,
) -> Manager:
    """A client of the management interface.

    Arguments:
        client: the connection whose host, user and password are used where none are given.
        hostname, port, userid, password: instead of the connection's. They may also be set in
            the connection's ``transport_options`` as ``manager_hostname`` and so on.
    """
    options = client.transport_options or {}

    def setting(given: Any, name: str, default: Any) -> Any:
        return given if given is not None else options.get(f"manager_{name}", default)

    host = setting(hostname, "hostname", client.hostname or "localhost")
    return Manager(
        f"{host}:{setting(port, 'port', DEFAULT_MANAGEMENT_PORT)}",
        setting(userid, "userid", client.userid or "guest"),
        setting(password, "password", client.password or "guest"),
    )
