"""Names of topics and groups."""

from __future__ import annotations

import re

from amqp.exceptions import PreconditionFailed

LONGEST_NAME = 249
_LEGAL = re.compile(r"[A-Za-z0-9._-]+")


def topic_name(queue: str) -> str:
    """The topic of a queue, as published peers name it: every ``@`` is left out.

    Raises:
        PreconditionFailed: 406; Kafka takes letters, digits, ``.``, ``_`` and ``-`` only.
    """
    name = queue.replace("@", "")
    if not _LEGAL.fullmatch(name) or len(name) > LONGEST_NAME or name in (".", ".."):
        raise PreconditionFailed(
            f"queue {queue!r} can't be a Kafka topic: letters, digits, '.', '_' and '-' are "
            f"allowed, {LONGEST_NAME} at most"
        )
    return name


def group_name(queue: str) -> str:
    """The consumer group of a queue, as published peers name it."""
    return f"{topic_name(queue)}-consumer-group"
