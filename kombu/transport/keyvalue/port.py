"""What a key-value server has to be able to do to be a broker.

Keys are texts like ``kombu/name/part``; a *folder* is what stands before a ``/``. Each key has
a version that changes with every write and is never used again. Nothing but one key is ever
changed atomically: whatever is built on this stays right when its process dies between two
calls.

Every method may be called from any thread, ends within the transport's time limit, and raises
what the transport's error table knows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from kombu.transport.http import Reply


class Stored(NamedTuple):
    """One key as it was read.

    Arguments:
        name: the last part of its key.
        order: of two keys of a queue the one with the lower (order, name) was put first.
    """

    name: str
    value: str
    version: int
    order: int


class Listing(NamedTuple):
    """The keys of a folder, those of folders in it left out.

    Arguments:
        revision: a watch of the folder from here on misses nothing that this listing lacks.
    """

    stored: list[Stored]
    revision: int


class Folders(NamedTuple):
    """The folders in a folder.

    Arguments:
        revision: as that of a :class:`Listing`.
    """

    names: Sequence[str]
    revision: int


class KeyValue(ABC):
    """One server, or cluster of servers, reached at one address."""

    #: Longest value of one key, in bytes.
    longest_value: int
    #: How many bytes one record of claimed messages may have.
    longest_record: int
    #: How many messages one :meth:`append` takes, and how many bytes of them if it is several.
    appends: int = 1
    longest_append: int = 0

    # ---- queues, where published peers keep them

    @abstractmethod
    def queue_folder(self, queue: str) -> str:
        """The folder whose keys are the messages of a queue."""

    @abstractmethod
    def declare(self, queue: str) -> None:
        """Make a queue if it is not there."""

    @abstractmethod
    def exists(self, queue: str) -> bool:
        """Whether it was declared, or a message was put into it, and it was not deleted since."""

    @abstractmethod
    def delete_queue(self, queue: str) -> None:
        """Remove it with its messages; unknown ones are ignored."""

    @abstractmethod
    def append(self, queue: str, values: Sequence[str]) -> None:
        """Put messages behind all others, in their order; all of them or none."""

    @abstractmethod
    def take(self, queue: str, messages: Sequence[Stored]) -> list[bool] | None:
        """Delete messages that have not changed since; for each whether this call deleted it.

        ``None``: nobody may take any just now, for a published peer is about to.
        """

    @abstractmethod
    def put_back(self, queue: str, message: Stored) -> bool:
        """Make a message again under its name and order; ``False`` if it is there."""

    # ---- keys

    @abstractmethod
    def read(self, key: str) -> Stored | None:
        """One key."""

    @abstractmethod
    def list(self, folder: str) -> Listing:
        """The keys of a folder with their values."""

    @abstractmethod
    def folders(self, folder: str) -> Folders:
        """Names of the folders in a folder."""

    @abstractmethod
    def write(self, key: str, value: str) -> None:
        """Set a key, whatever it was."""

    @abstractmethod
    def swap(self, key: str, value: str, version: int) -> int | None:
        """Set a key that still has this version (0: is not there); its new one, if it was set."""

    @abstractmethod
    def delete(self, key: str, version: int | None = None) -> bool:
        """Remove a key that (if given) still has this version; whether it was removed."""

    def drop_folder(self, folder: str) -> None:  # noqa: B027 - optional
        """Remove a folder that nothing is in; where folders are things of their own."""

    # ---- owners

    @abstractmethod
    def open_owner(self, key: str, lease: float) -> Any:
        """Make a key that goes by itself ``lease`` seconds after its last renewal.

        Returns:
            what :meth:`renew_owner` and :meth:`close_owner` take.
        """

    @abstractmethod
    def renew_owner(self, owner: Any) -> bool:
        """Start the lease anew; ``False`` when it had ended."""

    @abstractmethod
    def close_owner(self, owner: Any) -> None:
        """Remove the key now."""

    # ---- watching: a long poll by HTTP

    @abstractmethod
    def watch_request(self, folder: str, index: int) -> str:
        """Path and query of a GET that is answered when something came after ``index``."""

    @abstractmethod
    def watch_result(self, reply: Reply, index: int) -> int | None:
        """The index to watch from when a reply tells of nothing new; ``None``: there is news.

        Arguments:
            index: from where on was watched.

        Raises:
            what the error table knows, when the reply is an error.
        """

    def close(self) -> None:  # noqa: B027 - optional
        """Free connections."""
