"""Middleware of all connections of a process, for where a framework makes the connections."""

from __future__ import annotations

import os
from collections.abc import Iterable

from kombu.middleware.chain import Chain, Middleware
from kombu.utils.imports import symbol_by_name
from kombu.utils.loggers import get_logger

__all__ = ("install", "installed", "uninstall")

logger = get_logger(__name__)

#: Names of middleware by commas: ``package.module:Class``, or of the entry point group.
VARIABLE = "KOMBU_MIDDLEWARE"

#: Entry points that :data:`VARIABLE` may name; each is a class, or a function, without arguments.
GROUP = "kombu.middleware"


class _Registry:
    """What is installed; the environment is read when it is first asked for."""

    def __init__(self) -> None:
        self._members: list[Middleware] | None = None

    @property
    def members(self) -> list[Middleware]:
        if self._members is None:
            self._members = list(_of_environment(os.environ.get(VARIABLE, "")))
        return self._members


_registry = _Registry()


def install(*middleware: Middleware) -> None:
    """Let all connections that this process makes from now on begin with this middleware.

    It stands outside of what a connection is given itself. Connections that exist already, and
    copies of them, are not changed.
    """
    Chain(middleware)  # says what is wrong with them
    _registry.members.extend(middleware)


def uninstall(*middleware: Middleware) -> None:
    """Undo :func:`install` for connections made from now on; without arguments for all.

    Raises:
        ValueError: it is not installed.
    """
    if not middleware:
        _registry.members.clear()
    for each in middleware:
        _registry.members.remove(each)


def installed() -> tuple[Middleware, ...]:
    """What :func:`install` and the environment variable ``KOMBU_MIDDLEWARE`` name."""
    return tuple(_registry.members)


def chain_with(middleware: Iterable[Middleware]) -> Chain:
    """The chain of a new connection: what is installed, then its own."""
    return Chain((*_registry.members, *middleware))


def _of_environment(names: str) -> Iterable[Middleware]:
    for name in filter(None, map(str.strip, names.split(","))):
        try:
            middleware = _made(name)
        except Exception:
            # Messages must go on where what watches them can't be had.
            logger.exception("%s names %r, which can't be used", VARIABLE, name)
        else:
            yield middleware


def _made(name: str) -> Middleware:
    if ":" in name or "." in name:
        made = symbol_by_name(name)()
    else:
        from importlib.metadata import entry_points  # takes long, and few name one

        found = [point for point in entry_points(group=GROUP) if point.name == name]
        if not found:
            raise LookupError(f"no entry point {name!r} in the group {GROUP!r}")
        made = found[0].load()()
    if not isinstance(made, Middleware):
        raise TypeError(f"{made!r} is no Middleware")
    return made
