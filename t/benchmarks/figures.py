"""How scenarios against a broker count."""

from __future__ import annotations

import statistics
import time

from embedded import cpu_seconds

Figures = dict[str, float]


class Spent:
    """Time and processor time since it was made."""

    def __init__(self) -> None:
        self._cpu, self._begin = cpu_seconds(), time.perf_counter()

    def figures(self, rate: str, cpu: str, count: int) -> Figures:
        """Messages a second and microseconds of processor time for each, under these names."""
        took, cpu_used = time.perf_counter() - self._begin, cpu_seconds() - self._cpu
        return {rate: count / took, cpu: cpu_used / count * 1e6}


def percentiles(milliseconds: list[float], what: str = "") -> Figures:
    """Median and 99th percentile."""
    ordered = sorted(milliseconds)
    before = f"{what} " if what else ""
    return {
        f"{before}p50 ms": statistics.median(ordered),
        f"{before}p99 ms": ordered[int(len(ordered) * 0.99)],
    }
