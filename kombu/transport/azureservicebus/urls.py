"""URLs: ``azureservicebus://POLICY:KEY@NAMESPACE``."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from kombu.transport.azure import IDENTITIES

SCHEME = "azureservicebus"
DOMAIN = ".servicebus.windows.net"


class Address(NamedTuple):
    """A namespace, and a policy with its key or, without one, the name of an identity."""

    namespace: str
    policy: str
    key: str | None

    def __repr__(self) -> str:
        return f"<Address {self.namespace!r}>"


def read_url(url: str, emulator: bool = False) -> Address:
    """Take a URL apart.

    Arguments:
        emulator: the host is one, not the name of a namespace.

    Raises:
        ValueError: it lacks a part; says which form is wanted, without the key.
    """
    rest = url.removeprefix(f"{SCHEME}://")
    credential, _, namespace = rest.rpartition("@")
    namespace = namespace.rstrip("/")
    policy, colon, key = credential.partition(":")
    if not namespace or not (policy in IDENTITIES if not colon else policy and key):
        raise ValueError(
            f"a URL of Azure Service Bus must be of the form {SCHEME}://POLICY:KEY@NAMESPACE, "
            f"{SCHEME}://DefaultAzureCredential@NAMESPACE or "
            f"{SCHEME}://ManagedIdentityCredential@NAMESPACE"
        )
    if not emulator and not namespace.endswith(".net"):
        namespace += DOMAIN
    return Address(namespace, unquote(policy), unquote(key) if colon else None)


def shown(url: str, include_password: bool, mask: str) -> str:
    """The URL for people to read."""
    has_port = ":" in url.rpartition("@")[2]
    address = read_url(url, emulator=has_port)
    if address.key is None:
        return f"{SCHEME}://{address.policy}@{address.namespace}"
    key = address.key if include_password else mask
    return f"{SCHEME}://{address.policy}:{key}@{address.namespace}"
