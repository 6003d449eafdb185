"""URLs: ``azurestoragequeues://CREDENTIAL@ACCOUNT_URL``."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from azure.core.credentials import AzureSasCredential

from kombu.transport.azure import IDENTITIES, identity

SCHEME = "azurestoragequeues"


class Address(NamedTuple):
    """Where the account is, and what stood before it; the credential is not shown."""

    credential: str
    account_url: str

    def __repr__(self) -> str:
        return f"<Address {self.account_url!r}>"

    @property
    def is_secret(self) -> bool:
        return self.credential not in IDENTITIES


def read_url(url: str) -> Address:
    """Take a URL apart.

    Raises:
        ValueError: it lacks a part; says which form is wanted, without the key.
    """
    rest = url.removeprefix(f"{SCHEME}://")
    credential, at, account_url = rest.rpartition("@")
    if not (credential and at and account_url):
        raise ValueError(
            f"a URL of Azure Storage Queues must be of the form {SCHEME}://KEY@ACCOUNT_URL, "
            f"{SCHEME}://DefaultAzureCredential@ACCOUNT_URL or "
            f"{SCHEME}://ManagedIdentityCredential@ACCOUNT_URL"
        )
    return Address(unquote(credential), account_url)


def shown(url: str, include_password: bool, mask: str) -> str:
    """The URL for people to read."""
    address = read_url(url)
    open_part = include_password or not address.is_secret
    return f"{SCHEME}://{address.credential if open_part else mask}@{address.account_url}"


def credential_of(address: Address) -> Any:
    """What the client signs its requests with."""
    given = address.credential
    if given in IDENTITIES:
        return identity(given, SCHEME)
    if "sig=" in given:
        return AzureSasCredential(given.removeprefix("?"))
    account = urlsplit(address.account_url).path.strip("/")
    # Emulators have the account's name in the path; the client finds only those in the host.
    return {"account_name": account, "account_key": given} if account else given
