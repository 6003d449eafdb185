"""What differs between Pythons, platforms and concurrency libraries."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import lru_cache, wraps
from io import UnsupportedOperation
from typing import TYPE_CHECKING, Any

from ..exceptions import reraise

if TYPE_CHECKING:
    from importlib import metadata
    from multiprocessing.util import register_after_fork

__all__ = (
    "FILENO_ERRORS",
    "coro",
    "detect_environment",
    "entrypoints",
    "fileno",
    "get_gevent_concurrent_error",
    "maybe_fileno",
    "nested",
    "register_after_fork",
    "reraise",
)

#: Raised by :func:`fileno` for what has no file descriptor.
FILENO_ERRORS = (AttributeError, ValueError, UnsupportedOperation)

_environment: str | None = None


def coro(gen: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., Generator[Any, Any, Any]]:
    """Decorator: the generator runs to its first ``yield`` at once."""

    @wraps(gen)
    def start(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = gen(*args, **kwargs)
        next(generator)
        return generator

    return start


def _detect_environment() -> str:
    if "eventlet" in sys.modules and _eventlet_patched():
        return "eventlet"
    if "gevent" in sys.modules and _gevent_patched():
        return "gevent"
    return "default"


def _eventlet_patched() -> bool:
    try:
        import socket

        from eventlet.patcher import is_monkey_patched
    except ImportError:
        return False
    return bool(is_monkey_patched(socket))


def _gevent_patched() -> bool:
    try:
        import socket

        from gevent import socket as cooperative
    except ImportError:
        return False
    return socket.socket is cooperative.socket


def detect_environment() -> str:
    """``'eventlet'`` or ``'gevent'`` when one has patched the socket module, else ``'default'``.

    What was found first stays.
    """
    global _environment
    if _environment is None:
        _environment = _detect_environment()
    return _environment


def get_gevent_concurrent_error() -> Any:
    """gevent's error for two greenlets waiting on one socket, or ``None`` without gevent."""
    if _detect_environment() != "gevent":
        return None
    try:
        from gevent.exceptions import ConcurrentObjectUseError
    except ImportError:
        return None
    return ConcurrentObjectUseError


def entrypoints(namespace: str) -> Iterator[tuple[metadata.EntryPoint, Any]]:
    """Yield ``(entry point, what it names)`` for each installed entry point of a group."""
    seen: set[tuple[str, str]] = set()
    for entry_point in _entry_points(tuple(sys.path)).select(group=namespace):
        identity = (entry_point.name, entry_point.value)
        if identity not in seen:
            seen.add(identity)
            yield entry_point, entry_point.load()


@lru_cache(maxsize=1)
def _entry_points(path: tuple[str, ...]) -> Any:
    # Reads a file of every installed package: once is enough while the path stays the same.
    # Not at the top: it takes longer than everything else that connecting needs.
    from importlib import metadata

    return metadata.entry_points()


def fileno(f: Any) -> int:
    """The file descriptor of a file-like object, or of a number itself.

    Raises:
        ValueError: ``None``, or a closed file.
        AttributeError: something else that has none.
    """
    if f is None:
        raise ValueError("file descriptor is None")
    return f if isinstance(f, int) else f.fileno()


def maybe_fileno(f: Any) -> int | None:
    """:func:`fileno`, or ``None`` for what has none."""
    try:
        return fileno(f)
    except FILENO_ERRORS:
        return None


@contextmanager
def nested(*managers: AbstractContextManager[Any]) -> Iterator[list[Any]]:
    """Enter several context managers; yields the list of what they return."""
    with ExitStack() as stack:
        yield [stack.enter_context(manager) for manager in managers]


def __getattr__(name: str) -> Any:
    # Not at the top: multiprocessing is slow to import and few processes use this.
    if name != "register_after_fork":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from multiprocessing.util import register_after_fork
    except ImportError:  # pragma: no cover - platforms without processes
        return None
    return register_after_fork
