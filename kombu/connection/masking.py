"""Connection parameters for display: no password, token or key in clear."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from kombu.utils.url import maybe_sanitize_url

__all__ = ("MASK", "masked", "masked_url")

MASK = "**"

#: Names of options whose value is a secret. Paths of key files and names of keys are not.
_SECRET = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|credential|signature"
    r"|^(sig|pwd|pw)$|(api|access|account|private|shared|sas)_?key(?!_?(file|id|path))",
    re.IGNORECASE,
)


#: Schemes with a key before the last ``@``, as it is: with ``/``, ``:`` and ``@`` in it.
KEY_FIRST = ("azurestoragequeues", "azureservicebus")


def masked(value: Any, name: str = "", mask: str = MASK) -> Any:
    """A copy of ``value`` in which secrets are replaced.

    Arguments:
        value: an option's value; mappings and sequences are looked into, URLs lose their
            password.
        name: the option's name.
        mask: what stands for a secret.
    """
    if isinstance(value, Mapping):
        return {key: masked(item, str(key), mask) for key, item in value.items()}
    if value is not None and not isinstance(value, bool) and _SECRET.search(name):
        return mask
    if isinstance(value, str):
        return masked_url(value, mask, query=True)
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(masked(item, name, mask) for item in value)
    return value


def masked_url(url: str, mask: str = MASK, query: bool = False) -> str:
    """``url`` with its password replaced, without its query; a text that is no URL as it is.

    What has ``@`` in it but can't be read as a URL is cut down to what precedes the
    credentials, because nobody knows where in it the password stands.

    Arguments:
        query: keep the query, secrets in it replaced, where it holds no URL and no ``@``.
    """
    if "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    hidden = f"{scheme}://{mask}@{rest.rpartition('@')[2]}" if "@" in rest else url
    if scheme in KEY_FIRST:
        return hidden
    try:
        shown = str(maybe_sanitize_url(url, mask))
    except ValueError:
        return hidden
    return shown + _masked_query(url.partition("#")[0].partition("?")[2], mask) if query else shown


def _masked_query(query: str, mask: str) -> str:
    plain = unquote(query)
    if not query or "@" in plain or "://" in plain:
        return ""
    pairs = (pair.partition("=") for pair in query.split("&"))
    return "?" + "&".join(
        f"{name}{equals}{mask if _SECRET.search(unquote(name)) else value}"
        for name, equals, value in pairs
    )
