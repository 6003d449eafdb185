"""Unique identifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

__all__ = ("UUID", "uuid", "uuid4")


def uuid(_uuid: Callable[[], Any] = uuid4) -> str:
    """A random UUID (version 4) as text."""
    return str(_uuid())
