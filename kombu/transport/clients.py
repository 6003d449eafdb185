"""Optional client libraries, imported when the transport that needs them is first used."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ("load_client", "missing_client")


def missing_client(extra: str, transport: str, module: str | None = None) -> ImportError:
    """The error that says what to install; all transports word it alike.

    Arguments:
        extra: name of the extra that brings the client library, e.g. ``"redis"``.
        transport: name of the transport as users spell it.
        module: what could not be imported, where known.
    """
    lacking = f" {module!r}" if module else ""
    return ImportError(
        f"The {transport} transport needs a client library{lacking} that is not installed. "
        f"Install it with: pip install 'kombu[{extra}]'",
        name=module,
    )


def load_client(module: str, extra: str, transport: str) -> Any:
    """Import ``module`` and return it.

    Raises:
        ImportError: as worded by :func:`missing_client`, chained to the original one.
    """
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise missing_client(extra, transport, exc.name or module) from exc
