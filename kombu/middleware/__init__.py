"""Hooks around what a connection does, and the middleware that comes with kombu.

The chain itself is loaded with :class:`kombu.Connection`; each middleware when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kombu.middleware.chain import Chain, Middleware
    from kombu.middleware.dedup import Deduplicate, MemorySeen, SeenStore
    from kombu.middleware.events import (
        Declaration,
        Delivery,
        Notice,
        Publishing,
        Reconnection,
        Settlement,
    )
    from kombu.middleware.rates import RateLimit, RateLimitExceeded, TokenBucket
    from kombu.middleware.registry import install, installed, uninstall
    from kombu.middleware.retry import Retry
    from kombu.middleware.telemetry import OpenTelemetry

__all__ = (
    "Chain",
    "Declaration",
    "Deduplicate",
    "Delivery",
    "MemorySeen",
    "Middleware",
    "Notice",
    "OpenTelemetry",
    "Publishing",
    "RateLimit",
    "RateLimitExceeded",
    "Reconnection",
    "Retry",
    "SeenStore",
    "Settlement",
    "TokenBucket",
    "install",
    "installed",
    "uninstall",
)

#: Module -> the names that it gives to this one.
_LAZY = {
    "chain": ("Chain", "Middleware"),
    "dedup": ("Deduplicate", "MemorySeen", "SeenStore"),
    "events": (*("Declaration", "Delivery", "Notice", "Publishing", "Reconnection", "Settlement"),),
    "rates": ("RateLimit", "RateLimitExceeded", "TokenBucket"),
    "registry": ("install", "installed", "uninstall"),
    "retry": ("Retry",),
    "telemetry": ("OpenTelemetry",),
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
