"""Importing things by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def symbol_by_name(
    name: Any,
    aliases: Mapping[str, Any] | None = None,
    imp: Callable[..., Any] | None = None,
    package: str | None = None,
    sep: str = ".",
    default: Any = None,
    **kwargs: Any,
) -> Any:
    """Import what a dotted name names.

    Arguments:
        name: ``package.module:attribute``, ``package.module.attribute``, a bare module or
            ``.module`` relative to ``package``; what is no text is returned as it is.
        aliases: short name -> full name.
        imp: what imports a module, :func:`importlib.import_module` by default; ``kwargs`` go to it.
        package: anchor of relative names.
        sep: separator before the attribute where there is no colon.
        default: returned, unless it is ``None``, when the import fails.

    Raises:
        ImportError, AttributeError: nothing of that name.
        ValueError: the name can't be one; says which.
    """
    if not isinstance(name, str):
        return name
    target = (aliases or {}).get(name) or name
    if not isinstance(target, str):
        return target
    module_name, attribute = _split(target, sep)
    try:
        try:
            module = (imp or importlib.import_module)(module_name, package=package, **kwargs)
        except ValueError as exc:
            raise ValueError(f"Couldn't import {target!r}: {exc}") from exc
        return getattr(module, attribute) if attribute else module
    except (ImportError, AttributeError):
        if default is None:
            raise
    return default


def _split(name: str, sep: str) -> tuple[str, str]:
    """Module and attribute; a name without separator is all module."""
    if ":" in name:
        sep = ":"
    module_name, _, attribute = name.rpartition(sep)
    return (module_name, attribute) if module_name else (attribute, "")


class Late:
    """A function that is imported when it is first called.

    For what few processes need and what takes long to import.

    Arguments:
        path: ``package.module:function``.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._function: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        function = self._function
        if function is None:
            function = self._function = symbol_by_name(self.path)
        return function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<late {self.path}>"
