"""Dictionaries keyed by an object's own idea of equality."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any


class HashedSeq(list[Any]):
    """A list that may be a dictionary key: its hash is computed once."""

    __slots__ = ("hashvalue",)

    def __init__(self, *seq: Hashable) -> None:
        super().__init__(seq)
        self.hashvalue = hash(seq)

    def __hash__(self) -> int:  # type: ignore[override]
        return self.hashvalue


def eqhash(o: Any) -> Any:
    """``o.__eqhash__()`` where it has one, else ``hash(o)``."""
    own = getattr(o, "__eqhash__", None)
    return hash(o) if own is None else own()


class EqualityDict(dict[Any, Any]):
    """A dictionary whose keys are looked up by :func:`eqhash`."""

    def __getitem__(self, key: Any) -> Any:
        digest = eqhash(key)
        if digest not in self:
            return self.__missing__(key)
        return super().__getitem__(digest)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(eqhash(key), value)

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(eqhash(key))

    def __missing__(self, key: Any) -> Any:
        """Hook for subclasses that make missing values."""
        raise KeyError(key)
