"""Loggers of the library, without what configuring logging takes."""

from __future__ import annotations

import logging


def get_logger(logger: str | logging.Logger) -> logging.Logger:
    """A logger, by its name or itself, that is silent until someone configures logging."""
    if isinstance(logger, str):
        logger = logging.getLogger(logger)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger
