"""A package of which one module is needed now, and the rest perhaps never.

Importing ``amqp.exceptions`` runs all of ``amqp`` first: sockets, TLS and the whole client,
which is more than half of the time of a first connection to a broker that does not speak AMQP.
"""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any

#: Seconds one thread waits for another that is running the package.
_PATIENCE = 30.0


def defer(name: str) -> None:
    """Let a package be run when the first attribute of its own is asked for.

    Its modules can be imported at once. Nothing happens when it was imported before, or
    when there is no such package.
    """
    if name in sys.modules:
        return
    spec = next((found for each in sys.meta_path if (found := each.find_spec(name, None))), None)
    if spec is None or spec.loader is None or spec.submodule_search_locations is None:
        return
    loader = spec.loader
    package = ModuleType(name)
    package.__spec__ = spec
    package.__loader__ = loader
    package.__package__ = name
    package.__file__ = spec.origin
    package.__path__ = spec.submodule_search_locations
    lock = threading.RLock()
    run = False

    def __getattr__(attribute: str) -> Any:
        nonlocal run
        if not lock.acquire(timeout=_PATIENCE):
            raise ImportError(f"another thread has been importing {name} for too long", name=name)
        try:
            if not run:
                run = True
                loader.exec_module(package)
                del package.__dict__["__getattr__"]
        finally:
            lock.release()
        try:
            return package.__dict__[attribute]
        except KeyError:
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}") from None

    package.__dict__["__getattr__"] = __getattr__
    sys.modules[name] = package
