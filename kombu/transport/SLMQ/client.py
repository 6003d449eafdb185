"""SoftLayer Message Queue's HTTP API, version 1."""

from __future__ import annotations

import json
import os
import ssl
import string
from collections.abc import Mapping
from typing import Any

from kombu.transport.errors import ErrorTable
from kombu.transport.http import HTTP_ERRORS, Reply, Server, Unsuitable, check, parsed
from kombu.transport.options import boolean
from kombu.transport.SLMQ.options import SLMQOptions
from kombu.transport.tls import tls_context

ERRORS = ErrorTable(HTTP_ERRORS)

_NAMES = {ord(char): "_" for char in string.punctuation if char != "_"}
_AUTH_GONE = 401


def queue_name(name: str, prefix: str = "") -> str:
    """``name`` as published peers make it one of the service's."""
    return (prefix + name).translate(_NAMES)


class Account:
    """One account at a server of that API.

    Arguments:
        name: of the account, part of every path.
        user, key: what a token is got for.
    """

    def __init__(self, server: Server, name: str, user: str, key: str) -> None:
        self.server = server
        self.name = name
        self._user = user
        self._key = key
        self._token = ""

    def __repr__(self) -> str:
        return f"<Account {self.name!r} at {self.server!r}>"

    @classmethod
    def of(cls, client: Any, options: SLMQOptions) -> Account:
        """The account that a URL names, and where it doesn't, the environment.

        Arguments:
            client: the :class:`kombu.Connection`.

        Raises:
            Unsuitable: neither names a server: the service itself is gone.
        """
        environment = os.environ
        host = client.hostname or environment.get("SLMQ_HOST")
        if not host:
            raise Unsuitable(
                "SoftLayer Message Queue, the service, was shut down. Name a server that speaks "
                "its API, as slmq://user:key@host:port or in SLMQ_HOST, or use another transport"
            )
        secure = options.secure
        if secure is None:
            secure = bool(client.ssl) or boolean(environment.get("SLMQ_SECURE", "true"))
        tls: ssl.SSLContext | None = tls_context((client.ssl or True) if secure else False)
        port = client.port or int(environment.get("SLMQ_PORT") or (443 if secure else 80))
        user = client.userid or environment.get("SL_USERNAME", "")
        named = (client.virtual_host or "").strip("/")
        limit = options.operation_timeout
        return cls(
            Server(host, port, {}, client.connect_timeout or limit, limit, tls),
            named or environment.get("SLMQ_ACCOUNT") or user,
            user,
            client.password or environment.get("SL_API_KEY", ""),
        )

    def log_in(self) -> None:
        """Get a token.

        Raises:
            NotAllowed: user or key are wrong.
        """
        headers = {"X-Auth-User": self._user, "X-Auth-Key": self._key}
        reply = check(self.server.ask("POST", f"/v1/{self.name}/auth", headers=headers))
        self._token = str(parsed(reply)["token"])

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        content: Any = None,
        missing_ok: bool = False,
    ) -> Any:
        """The JSON that a request is answered with; ``None`` for what is not there.

        Raises:
            Refused: also for what is not there, unless ``missing_ok``.
        """
        reply = self._send(method, path, query, content)
        if reply.status == _AUTH_GONE:
            self.log_in()  # tokens end after some hours
            reply = self._send(method, path, query, content)
        if reply.status == 404 and missing_ok:
            return None
        return parsed(check(reply))

    def _send(self, method: str, path: str, query: Mapping[str, Any] | None, content: Any) -> Reply:
        body = None if content is None else json.dumps(content).encode()
        return self.server.ask(
            method,
            f"/v1/{self.name}/{path}",
            query,
            body,
            "application/json",
            {"X-Auth-Token": self._token},
        )

    def close(self) -> None:
        """Drop idle connections."""
        self.server.close()
