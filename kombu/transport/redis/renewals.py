"""Credentials that change while connections are open (redis-py's streaming providers).

A command connection is authenticated anew in place. One that listens can't be: in subscribed
state a server (RESP 2) takes no AUTH. It is replaced, each after a moment of its own, so that
a fleet whose token is renewed does not connect all at once.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, Protocol
from weakref import WeakSet

from redis.credentials import StreamingCredentialProvider

logger = logging.getLogger("kombu.transport.redis")

#: Arguments of AUTH: user and password, or a password alone.
Credentials = tuple[str, ...]

_ATTRIBUTE = "_kombu_renewals"


class Renewable(Protocol):
    """What has open connections."""

    def renew(self, credentials: Credentials) -> None:
        """Authenticate anew; called from the provider's thread."""


class Renewals:
    """Hands a provider's new credentials to all connections that use it.

    Providers may keep one callback only (redis-entraid's do), so there is one of these per
    provider, kept on it: see :meth:`of`.

    Arguments:
        provider: whose credentials these are.
    """

    def __init__(self, provider: StreamingCredentialProvider) -> None:
        self._users: WeakSet[Any] = WeakSet()
        self._lock = threading.Lock()
        provider.on_next(self._renewed)
        provider.on_error(self._failed)

    @classmethod
    def of(cls, provider: StreamingCredentialProvider) -> Renewals:
        """The one of this provider, made when first asked for."""
        found = getattr(provider, _ATTRIBUTE, None)
        if found is None:
            found = cls(provider)
            setattr(provider, _ATTRIBUTE, found)
        return found

    def add(self, user: Renewable) -> None:
        """Keep ``user`` informed for as long as it lives."""
        with self._lock:
            self._users.add(user)

    def _renewed(self, token: Any) -> None:
        credentials = credentials_of(token)
        with self._lock:
            users = list(self._users)
        for user in users:
            user.renew(credentials)

    def _failed(self, error: BaseException) -> None:
        # What is open goes on; the next connect meets the reason.
        logger.error("the credentials for Redis were not renewed: %s", type(error).__name__)


def credentials_of(token: Any) -> Credentials:
    """Arguments of AUTH from what a provider hands out: a redis-py token, or a tuple.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(token, (tuple, list)):
        return tuple(str(part) for part in token)
    if hasattr(token, "get_value") and hasattr(token, "try_get"):
        user = token.try_get("oid")
        return (str(user), str(token.get_value())) if user else (str(token.get_value()),)
    raise TypeError(f"credentials must be a token or a tuple, not {type(token).__name__}")
