"""Queue names as Azure Storage accepts them."""

from __future__ import annotations

import re
import string

from kombu.transport.azure import digested

LONGEST_NAME = 63
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation, "-"))
_VALID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def plain(name: str) -> str:
    """The name as published peers write it."""
    return name.translate(_PUNCTUATION)


def storage_name(name: str, prefix: str = "") -> str:
    """The queue that stands for ``name``: punctuation becomes ``-``, as with published peers.

    Azure takes 3 to 63 lower case letters, digits and single hyphens. A name that still is
    none, which published peers can't use at all, keeps what it can of its beginning and ends
    in a digest of the whole.
    """
    full = prefix + name
    published = plain(full)
    if 3 <= len(published) <= LONGEST_NAME and _VALID.fullmatch(published):
        return published
    return digested(full, "-".join(re.findall(r"[a-z0-9]+", published.lower())), LONGEST_NAME)
