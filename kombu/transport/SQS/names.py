"""Queue and topic names as AWS accepts them."""

from __future__ import annotations

import string

FIFO_SUFFIX = ".fifo"
_ALLOWED = "-_"
_TABLE = {ord(char): "_" for char in string.punctuation if char not in _ALLOWED}
_TABLE[ord(".")] = "-"


def aws_name(name: str, prefix: str = "") -> str:
    """``name`` with punctuation replaced, as published peers write it; ``.fifo`` stays."""
    text = prefix + name
    if text.endswith(FIFO_SUFFIX):
        return text[: -len(FIFO_SUFFIX)].translate(_TABLE) + FIFO_SUFFIX
    return text.translate(_TABLE)


def is_fifo(name_or_url: str) -> bool:
    return name_or_url.endswith(FIFO_SUFFIX)
