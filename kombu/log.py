"""Logging."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping

# Not later: Celery takes logging.handlers for imported.
from logging.handlers import WatchedFileHandler
from typing import Any

from .utils.encoding import safe_repr, safe_str
from .utils.functional import maybe_evaluate
from .utils.loggers import get_logger as get_logger
from .utils.objects import cached_property

__all__ = ("LOG_LEVELS", "LogMixin", "get_loglevel", "setup_logging")

#: Level by name, and name by level.
LOG_LEVELS: dict[Any, Any] = {
    "CRITICAL": logging.CRITICAL,
    "FATAL": logging.FATAL,
    "ERROR": logging.ERROR,
    "WARN": logging.WARNING,
    "WARNING": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
    "NOTSET": logging.NOTSET,
    logging.CRITICAL: "CRITICAL",
    logging.ERROR: "ERROR",
    logging.WARNING: "WARNING",
    logging.INFO: "INFO",
    logging.DEBUG: "DEBUG",
    logging.NOTSET: "NOTSET",
}

#: Set in the environment, tracebacks are left out of errors.
DISABLE_TRACEBACKS = os.environ.get("DISABLE_TRACEBACKS")

#: A conversion of a ``%`` format: key, flags, width, precision, length modifier, letter.
_CONVERSION = re.compile(r"%(?:\([^)]*\))?[#0\- +]*\d*(?:\.\d*)?[hlL]?([a-zA-Z%])")

_SAFE: Mapping[str, Callable[[Any], str]] = {"s": safe_str, "r": safe_repr}


def get_loglevel(level: Any) -> Any:
    """The number of a level's (upper-case) name; a number as it is.

    Raises:
        KeyError: no level of that name.
    """
    return LOG_LEVELS[level] if isinstance(level, str) else level


def naive_format_parts(fmt: str) -> Iterator[str]:
    """The conversions of a ``%`` format that take an argument, as their letters: ``s``, ``r``..."""
    for conversion in _CONVERSION.findall(fmt):
        if conversion != "%":
            yield conversion


def safeify_format(
    fmt: str, args: tuple[Any, ...], filters: Mapping[str, Callable[[Any], str]] | None = None
) -> Iterator[Any]:
    """Yield the arguments of a format, rendered so that formatting can't raise.

    Arguments:
        fmt: a ``%`` format.
        args: its arguments; a :class:`~kombu.utils.functional.lazy` is evaluated, those that
            the format has no conversion for are left out.
        filters: conversion -> function that renders for it.
    """
    renderers = filters or _SAFE
    for conversion, argument in zip(naive_format_parts(fmt), args, strict=False):
        value = maybe_evaluate(argument)
        renderer = renderers.get(conversion)
        yield value if renderer is None else renderer(value)


def _as_text(conversion: re.Match[str]) -> str:
    return conversion[0][:-1] + "s" if conversion[1] == "r" else conversion[0]


class LogMixin:
    """Gives a class log methods, with its name before each text."""

    def debug(self, *args: Any, **kwargs: Any) -> None:
        self.log(logging.DEBUG, *args, **kwargs)

    def info(self, *args: Any, **kwargs: Any) -> None:
        self.log(logging.INFO, *args, **kwargs)

    def warn(self, *args: Any, **kwargs: Any) -> None:
        self.log(logging.WARNING, *args, **kwargs)

    def error(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("exc_info", True)
        self.log(logging.ERROR, *args, **kwargs)

    def critical(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("exc_info", True)
        self.log(logging.CRITICAL, *args, **kwargs)

    def annotate(self, text: str) -> str:
        """``text`` as it is logged."""
        return f"{self.logger_name} - {text}"

    def log(self, severity: int, *args: Any, **kwargs: Any) -> None:
        """Log a format and its arguments, or one text."""
        if DISABLE_TRACEBACKS:
            kwargs.pop("exc_info", None)
        if not self.logger.isEnabledFor(severity):
            return
        if len(args) > 1 and isinstance(args[0], str):
            rendered = list(safeify_format(args[0], args[1:]))
            # Rendered already: what was %r must not be quoted again.
            fmt = _CONVERSION.sub(_as_text, self.annotate(args[0]))
            self.logger.log(severity, fmt, *rendered, **kwargs)
        else:
            self.logger.log(severity, self.annotate(" ".join(map(safe_str, args))), **kwargs)

    def get_logger(self) -> logging.Logger:
        """The logger, by its name."""
        return get_logger(self.logger_name)

    def is_enabled_for(self, level: Any) -> bool:
        """Whether ``level`` (number or name) would be logged."""
        return self.logger.isEnabledFor(self.get_loglevel(level))

    def get_loglevel(self, level: Any) -> Any:
        """See :func:`get_loglevel`."""
        return get_loglevel(level)

    @cached_property
    def logger(self) -> logging.Logger:
        """The logger."""
        return self.get_logger()

    @property
    def logger_name(self) -> str:
        """Name of the logger: that of the class."""
        return type(self).__name__


class Log(LogMixin):
    """Log methods of a logger.

    Arguments:
        name: the logger's name, or a logger.
        logger: a logger to be used under that name.
    """

    def __init__(
        self, name: str | logging.Logger, logger: str | logging.Logger | None = None
    ) -> None:
        self._logger_name = name
        self._logger = logger

    def get_logger(self) -> logging.Logger:
        return get_logger(self._logger or self._logger_name)

    @property
    def logger_name(self) -> Any:
        return self._logger_name


def setup_logging(loglevel: Any = None, logfile: Any = None) -> logging.Logger:
    """Configure the root logger, if it has no handler yet, and return it.

    Arguments:
        loglevel: number or name; ``'ERROR'`` by default.
        logfile: path or stream; the process's standard error by default.
    """
    root = logging.getLogger()
    if not root.handlers:
        target: Any = logfile or sys.__stderr__
        handler: logging.Handler
        if hasattr(target, "write"):
            handler = logging.StreamHandler(target)
        else:
            handler = WatchedFileHandler(target)
        root.addHandler(handler)
        root.setLevel(get_loglevel(loglevel or "ERROR"))
    return root
