"""Delivery modes and names reserved by the broker (AMQP 0-9-1, basic class, ``delivery-mode``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: kept in memory only; lost when the broker restarts
TRANSIENT_DELIVERY_MODE = 1

#: written to disk by brokers that have one
PERSISTENT_DELIVERY_MODE = 2

DELIVERY_MODES: dict[str, int] = {
    "transient": TRANSIENT_DELIVERY_MODE,
    "persistent": PERSISTENT_DELIVERY_MODE,
}

#: exchanges the broker has of itself; a client may not declare them (AMQP 0-9-1, 3.1.3.1)
INTERNAL_EXCHANGE_PREFIX = ("amq.",)


def maybe_delivery_mode(
    v: Any,
    modes: Mapping[str, int] | None = None,
    default: int | None = PERSISTENT_DELIVERY_MODE,
) -> Any:
    """The number of a delivery mode.

    Arguments:
        v: a number, or ``"transient"`` or ``"persistent"``; nothing (``None`` or 0) means
            ``default``.
        modes: names to numbers, :data:`DELIVERY_MODES` when not given.
        default: what nothing means.

    Raises:
        KeyError: a name that is not in ``modes``.
    """
    if not v:
        return default
    if isinstance(v, str):
        return (DELIVERY_MODES if modes is None else modes)[v]
    return v
