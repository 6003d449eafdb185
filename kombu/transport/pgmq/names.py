"""How names of queues and exchanges are written in PGMQ."""

from __future__ import annotations

import hashlib
import re
import string

#: Longest name of a queue that PGMQ takes.
LONGEST = 47

_PUNCTUATION = str.maketrans(dict.fromkeys(set(string.punctuation) - {"_"}, "_"))
_SPECIAL = {".": "-d-", "-": "--", "*": "-s-", "#": "-h-"}
_PLAIN = frozenset(string.ascii_letters + string.digits + "_")


def queue_name(name: str, prefix: str = "") -> str:
    """The PGMQ queue of a queue: as published, and shortened where PGMQ would refuse it."""
    full = f"{prefix}{name}".translate(_PUNCTUATION)
    if len(full.encode()) <= LONGEST:
        return full
    digest = hashlib.sha256(full.encode()).hexdigest()[:12]
    head = full.encode()[: LONGEST - 13].decode(errors="ignore")
    return f"{head}_{digest}"


def table_name(queue: str) -> str:
    """The table that PGMQ keeps a queue in; PGMQ writes it in lower case."""
    return f"q_{queue.lower()}"


def segment(exchange: str) -> str:
    """An exchange as one word of a topic key."""
    if not exchange:
        return "_"
    return "".join(
        each if each in _PLAIN else _SPECIAL.get(each, f"-x{ord(each):x}-") for each in exchange
    )


def topic_pattern(exchange: str, type: str, routing_key: str) -> str | None:
    """What PGMQ matches for a binding; ``None`` for what it can't match."""
    if type == "fanout":
        return f"kombu.fanout.{segment(exchange)}"
    if type != "topic" or not _valid(routing_key):
        return None
    return f"kombu.topic.{segment(exchange)}.{routing_key}"


def _valid(routing_key: str) -> bool:
    return bool(re.fullmatch(r"(?:[\w-]+|\*|#)(?:\.(?:[\w-]+|\*|#))*", routing_key, re.ASCII))
