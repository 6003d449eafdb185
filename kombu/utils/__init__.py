"""Utilities.

Names are imported when they are first used: importing one module of this package must not
import them all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Now, because the module has the function's name and would stand in its place.
from .uuid import uuid

if TYPE_CHECKING:
    from .collections import EqualityDict
    from .compat import fileno, maybe_fileno, nested, register_after_fork
    from .div import emergency_dump_state
    from .functional import (
        fxrange,
        fxrangemax,
        maybe_list,
        reprcall,
        reprkwargs,
        retry_over_time,
    )
    from .imports import symbol_by_name
    from .objects import cached_property

__all__ = (
    "EqualityDict",
    "cached_property",
    "emergency_dump_state",
    "fileno",
    "fxrange",
    "fxrangemax",
    "maybe_fileno",
    "maybe_list",
    "nested",
    "register_after_fork",
    "reprcall",
    "reprkwargs",
    "retry_over_time",
    "symbol_by_name",
    "uuid",
)

_LAZY = {
    "collections": ("EqualityDict",),
    "compat": ("fileno", "maybe_fileno", "nested", "register_after_fork"),
    "div": ("emergency_dump_state",),
    "functional": (
        "fxrange",
        "fxrangemax",
        "maybe_list",
        "reprcall",
        "reprkwargs",
        "retry_over_time",
    ),
    "imports": ("symbol_by_name",),
    "objects": ("cached_property",),
}
_HOMES = {name: module for module, names in _LAZY.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
