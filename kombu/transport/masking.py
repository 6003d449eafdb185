"""Addresses for people to read."""

from __future__ import annotations

import re

_SECRETS = re.compile(
    r"([?&][^=&]*(?:passw|secret|token|authmechanismproperties)[^=&]*=)[^&]*", re.IGNORECASE
)


def masked_query(uri: str, mask: str) -> str:
    """The URI without the passwords and tokens that its query holds."""
    return _SECRETS.sub(lambda found: found[1] + mask, uri)
