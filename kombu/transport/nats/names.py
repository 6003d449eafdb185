"""How queues and exchanges are called in subjects, streams and keys."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
#: A stream's name is a folder's name on the server.
_LONGEST = 180


def token(name: str) -> str:
    """One token of a subject that stands for any name; names apart stay apart."""
    data = name.encode("utf-8", "surrogatepass")
    text = "".join(chr(byte) if byte in _PLAIN else f"={byte:02X}" for byte in data)
    if len(text) > _LONGEST:
        return f"=h{hashlib.sha256(data).hexdigest()}"
    return text or "=0"


class Level(NamedTuple):
    """The messages of one priority in one queue: new ones, or those that were given back.

    What was given back comes before what is new.
    """

    priority: int
    returned: bool = False

    def __str__(self) -> str:
        return f"{self.priority}r" if self.returned else str(self.priority)

    @classmethod
    def parse(cls, text: str) -> Level:
        """Read what ``str`` wrote.

        Raises:
            ValueError: it is none.
        """
        return cls(int(text.removesuffix("r")), text.endswith("r"))


class Names:
    """Everything of one virtual host.

    Arguments:
        vhost: of the URL.
    """

    def __init__(self, vhost: str) -> None:
        path = vhost.strip("/")
        self.prefix = f"kombu-{token(path)}" if path else "kombu"
        self.bucket = self.prefix.replace("=", "-")
        self.delayed_stream = f"{self.prefix}_delayed"
        self.delayed_subject = f"{self.prefix}.delayed"
        self.quarantine_stream = f"{self.prefix}_quarantine"
        self.delay_bell = f"{self.prefix}.delays"

    def stream(self, queue: str) -> str:
        """The stream that holds a queue."""
        return f"{self.prefix}_q_{token(queue)}"

    def subject(self, queue: str, level: Level | str) -> str:
        """Where messages of one level of a queue are published; ``*``: all levels."""
        return f"{self.prefix}.q.{token(queue)}.{level}"

    def bell(self, queue: str) -> str:
        """Where those who wait for a queue are told of a level that has messages."""
        return f"{self.prefix}.bell.{token(queue)}"

    def bell_of(self, subject: str) -> str:
        """The bell of the queue that a subject belongs to."""
        return f"{self.prefix}.bell.{subject.split('.')[2]}"

    def quarantine(self, queue: str) -> str:
        """Where what is no message of a queue is kept; ``*``: of all queues."""
        return f"{self.prefix}.quarantine.{queue if queue == '*' else token(queue)}"

    def queue_key(self, queue: str) -> str:
        """Key of a queue's declaration; ``*``: of all."""
        return f"q.{queue if queue == '*' else token(queue)}"

    def exchange_key(self, exchange: str) -> str:
        """Key of an exchange's type and bindings."""
        return f"x.{token(exchange)}"
