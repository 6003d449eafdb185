"""Which keys there are beside the published ones: all below ``kombu/.kombu``.

===========================================  ================================================
key                                          holds
===========================================  ================================================
``live/owners/<owner>``                      goes when its owner stops renewing it
``live/delayed/<time>/<when>:<queue>:<id>``  a message that is not ready before ``when`` (ms)
``claims/<owner>/<n>``                       the messages that an owner took at one time
``exchanges/<exchange>``                     its type
``bindings/<exchange>/<binding>``            one binding of it
``queues/<queue>``                           the arguments it was declared with
``quarantine/<id>``                          what was found in a queue and is no message
===========================================  ================================================
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote
from uuid import uuid4

#: Published peers keep everything below this.
ROOT = "kombu"
HOME = f"{ROOT}/.kombu"
#: Whoever waits watches this.
LIVE = f"{HOME}/live"
OWNERS = f"{LIVE}/owners"
DELAYED = f"{LIVE}/delayed"
CLAIMS = f"{HOME}/claims"
BINDINGS = f"{HOME}/bindings"

#: Delayed messages of so many milliseconds stand in one folder, so that few are listed.
_TOGETHER = 10_000


def part(name: str) -> str:
    """Any name as one part of a key (etcd hides what begins with ``_``)."""
    text = quote(name, safe="")
    if text[:1] in ("", ".", "_"):
        text = f"%{ord(text[0]):02X}{text[1:]}" if text else "%"
    return text


def queue_path(queue: str) -> str:
    """The queue's name as published peers make a key of it.

    Raises:
        ValueError: a key can't have that name.
    """
    parts = queue.split("/")
    if any(each in ("", ".", "..") for each in parts) or parts[0] == ".kombu" or "\x00" in queue:
        raise ValueError(f"queue name {queue!r} can't be part of a key")
    return f"{ROOT}/{queue}"


def exchange_key(exchange: str) -> str:
    return f"{HOME}/exchanges/{part(exchange)}"


def bindings_folder(exchange: str) -> str:
    return f"{BINDINGS}/{part(exchange)}"


def binding_key(exchange: str, routing_key: str, queue: str) -> str:
    binding = f"{routing_key}\n{queue}"
    return f"{bindings_folder(exchange)}/{part(binding)}"


def declaration_key(queue: str) -> str:
    return f"{HOME}/queues/{part(queue)}"


def quarantine_key() -> str:
    return f"{HOME}/quarantine/{uuid4().hex}"


class DelayedName(NamedTuple):
    """What the name of a delayed message's key tells."""

    ready_milliseconds: int
    queue: str

    def new_key(self) -> str:
        """A key of this name that nobody else uses."""
        queue = quote(self.queue, safe="")
        return self.key(f"{self.ready_milliseconds:015d}:{queue}:{uuid4().hex}")

    def key(self, text: str) -> str:
        """The key of one whose name was parsed from this text."""
        return f"{DELAYED}/{self.ready_milliseconds // _TOGETHER:012d}/{text}"

    @classmethod
    def parse(cls, text: str) -> DelayedName:
        when, queue, _ = text.split(":")
        return cls(int(when), unquote(queue))


def begins_at(folder: str) -> int:
    """The earliest time, in ms, of the messages in a folder of delayed ones."""
    return int(folder) * _TOGETHER
