"""Seeing what goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from ..log import get_logger

__all__ = ("Logwrapped", "setup_logging")


def setup_logging(
    loglevel: int | None = logging.DEBUG, loggers: Iterable[str] | None = None
) -> None:
    """Write the loggers (connections and channels by default) to standard error.

    They tell something when the environment variables ``KOMBU_LOG_CONNECTION`` and
    ``KOMBU_LOG_CHANNEL`` are set.
    """
    for name in loggers or ("kombu.connection", "kombu.channel"):
        logger = get_logger(name)
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(loglevel or logging.NOTSET)


class Logwrapped:
    """An object whose method calls are logged at level DEBUG.

    Arguments:
        instance: the object.
        logger: a logger or its name.
        ident: text put before each line, formatted with ``instance``'s attributes.
    """

    __ignore = ("__enter__", "__exit__")

    def __init__(
        self, instance: Any, logger: str | logging.Logger | None = None, ident: str | None = None
    ) -> None:
        self.instance = instance
        self.logger = get_logger(__name__ if logger is None else logger)
        self.ident = ident

    def __getattr__(self, key: str) -> Any:
        member = getattr(self.instance, key)
        if not callable(member) or key in self.__ignore:
            return member
        return self._logged(key, member)

    def _logged(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            arguments = [repr(value) for value in args]
            arguments += [f"{key}={value!r}" for key, value in kwargs.items()]
            prefix = self.ident.format(self.instance) if self.ident else ""
            self.logger.debug("%s%s(%s)", prefix, name, ", ".join(arguments))
            return method(*args, **kwargs)

        return call

    def __enter__(self) -> Any:
        if hasattr(self.instance, "__enter__"):
            self.instance.__enter__()
        return self

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> Any:
        if hasattr(self.instance, "__exit__"):
            return self.instance.__exit__(exc_type, exc_val, exc_tb)
        return None

    def __repr__(self) -> str:
        return repr(self.instance)

    def __dir__(self) -> Iterable[str]:
        return dir(self.instance)
