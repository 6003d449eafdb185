"""In which order alternate hosts are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

from kombu.utils.functional import shufflecycle

__all__ = ("failover_strategies", "next_host", "roundrobin_failover", "strategy_named")

Strategy = Callable[[Sequence[str]], Iterator[str]]

roundrobin_failover: Any = cycle

#: Name -> function that takes the hosts and returns an iterator without end.
failover_strategies: dict[str, Any] = {
    "round-robin": roundrobin_failover,
    "shuffle": shufflecycle,
}


def strategy_named(name: Any, strategies: dict[str, Any]) -> Strategy:
    """The strategy of that name, or ``name`` itself when it is a function.

    Raises:
        ValueError: neither; names those that exist.
    """
    strategy = strategies.get(name) if isinstance(name, str) else name
    if not callable(strategy):
        raise ValueError(
            f"no failover strategy {name!r}: one of {sorted(strategies)}, or a function"
        )
    return strategy  # type: ignore[no-any-return]


def next_host(hosts: Iterator[str]) -> str | None:
    """The next host; ``None`` from a strategy that has come to its end."""
    return next(hosts, None)
