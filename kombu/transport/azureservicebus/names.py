"""Names of queues and topics as Service Bus accepts them."""

from __future__ import annotations

import re
import string

from kombu.transport.azure import digested

LONGEST_NAME = 260
LONGEST_SUBSCRIPTION = 50
_PUNCTUATION = str.maketrans(dict.fromkeys(set(string.punctuation) - set("_.-"), "_"))
_VALID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def entity_name(name: str, prefix: str = "", longest: int = LONGEST_NAME) -> str:
    """The queue or topic that stands for ``name``: punctuation becomes ``_``, as published.

    Service Bus takes up to 260 letters, digits, ``.``, ``-`` and ``_``, and heeds no case. Any
    other name keeps what it can of its beginning and ends in a digest of the whole.
    """
    full = prefix + name
    published = full.translate(_PUNCTUATION)
    if len(published) <= longest and _VALID.fullmatch(published):
        return published
    return digested(full, "-".join(re.findall(r"[A-Za-z0-9]+", published)), longest)
