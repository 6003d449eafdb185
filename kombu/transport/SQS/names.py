"""Queue and topic names as AWS accepts them."""

from __future__ import annotations

import string
from hashlib import sha256

FIFO_SUFFIX = ".fifo"
LONGEST_NAME = 80
_ALLOWED = "-_"
_TABLE = {ord(char): "_" for char in string.punctuation if char not in _ALLOWED}
_TABLE[ord(".")] = "-"


def aws_name(name: str, prefix: str = "") -> str:
    """``name`` as AWS accepts it: punctuation replaced as published peers do; ``.fifo`` stays.

    AWS takes 80 characters. A longer name, which published peers can't use at all, keeps its
    beginning and ends in a digest of the whole.
    """
    text = prefix + name
    suffix = FIFO_SUFFIX if text.endswith(FIFO_SUFFIX) else ""
    plain = text.removesuffix(suffix).translate(_TABLE)
    if len(plain) + len(suffix) > LONGEST_NAME:
        digest = sha256(text.encode()).hexdigest()[:24]
        plain = f"{plain[: LONGEST_NAME - len(suffix) - len(digest) - 1]}-{digest}"
    return plain + suffix


def is_fifo(name_or_url: str) -> bool:
    return name_or_url.endswith(FIFO_SUFFIX)
