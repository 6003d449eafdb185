"""The control folder: tables of exchanges as 5.7 has them, and what is ours beside them."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count


class Control:
    """The folder that says which exchanges and queues there are.

    Arguments:
        path: the folder; made (one level) when it is missing.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        own = os.path.join(self.path, ".kombu")
        self.queues = os.path.join(own, "queues")
        self.types = os.path.join(own, "types")
        self._writing = os.path.join(own, "writing")
        self._numbers = count()

    def prepare(self) -> None:
        """Make the folders."""
        if not os.path.isdir(self.path):
            with suppress(FileExistsError):
                os.mkdir(self.path)
        for folder in (self.queues, self.types, self._writing):
            os.makedirs(folder, exist_ok=True)

    def write(self, path: str, text: str) -> None:
        """Make a file appear with all of its text."""
        draft = os.path.join(self._writing, f"{os.getpid()}-{id(self)}-{next(self._numbers)}")
        try:
            with open(draft, "x", encoding="utf-8") as file:
                file.write(text)
            os.replace(draft, path)
        except BaseException:
            self.remove(draft)
            raise

    @staticmethod
    def remove(path: str) -> None:
        """Remove a file that may be gone."""
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(path)
