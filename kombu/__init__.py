"""Messaging library for Python.

Names are imported when they are first used, so that ``import kombu`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.utils.deferral import defer

if TYPE_CHECKING:
    from kombu.common import eventloop
    from kombu.connection import BrokerConnection, Connection
    from kombu.entity import Exchange, Queue, binding
    from kombu.message import Message
    from kombu.messaging import Consumer, Producer
    from kombu.pools import connections, producers
    from kombu.serialization import disable_insecure_serializers, enable_insecure_serializers
    from kombu.utils.url import parse_url
    from kombu.utils.uuid import uuid


class version_info_t(NamedTuple):
    """A version in parts."""

    major: int
    minor: int
    micro: int
    releaselevel: str
    serial: str


__version__ = "5.8.0"
__author__ = "The Kombu contributors"
__contact__ = "https://github.com/celery/kombu/issues"
__homepage__ = "https://kombu.readthedocs.io"
__docformat__ = "restructuredtext en"

VERSION = version_info = version_info_t(5, 8, 0, "", "")

__all__ = (
    "BrokerConnection",
    "Connection",
    "Consumer",
    "Exchange",
    "Message",
    "Producer",
    "Queue",
    "binding",
    "connections",
    "disable_insecure_serializers",
    "enable_insecure_serializers",
    "eventloop",
    "parse_url",
    "producers",
    "uuid",
)

#: Module -> the names that it gives to this one.
_LAZY = {
    "kombu.common": ("eventloop",),
    "kombu.connection": ("BrokerConnection", "Connection"),
    "kombu.entity": ("Exchange", "Queue", "binding"),
    "kombu.message": ("Message",),
    "kombu.messaging": ("Consumer", "Producer"),
    "kombu.pools": ("connections", "producers"),
    "kombu.serialization": ("disable_insecure_serializers", "enable_insecure_serializers"),
    "kombu.utils.url": ("parse_url",),
    "kombu.utils.uuid": ("uuid",),
}
_HOMES = {name: module for module, names in _LAZY.items() for name in names}

#: Modules that applications use as attributes without having imported them.
_MODULES = frozenset(
    [
        "abstract",
        "asynchronous",
        "clocks",
        "common",
        "compat",
        "compression",
        "connection",
        "entity",
        "exceptions",
        "log",
        "matcher",
        "message",
        "messaging",
        "mixins",
        "pidbox",
        "pools",
        "resource",
        "serialization",
        "simple",
        "transport",
        "utils",
    ]
)


def __getattr__(name: str) -> Any:
    if name in _MODULES or name in _HOMES:
        defer("amqp")  # nearly all need its exceptions, few its client
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
