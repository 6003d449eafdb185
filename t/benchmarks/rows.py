"""From what the sides measured to rows: medians, ratios, and how they are printed."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Figures = dict[str, float]
Row = dict[str, Any]

#: What is no client's name in a row.
_OWN = ("scenario", "figure", "published", "ours", "ratio")


def ratio(published: float, ours: float) -> float:
    return ours / published if published else float("inf")


def row(scenario: str, figure: str, measured: Sequence[Mapping[str, Figures]]) -> Row:
    """Medians of each side that has the figure, and of the ratios round by round."""
    line: Row = {"scenario": scenario, "figure": figure, "published": None, "ours": None}
    for side in dict.fromkeys(side for each in measured for side in each):
        if values := [each[side][figure] for each in measured if figure in each.get(side, ())]:
            line[side] = statistics.median(values)
    ratios = [
        ratio(each["published"][figure], each["ours"][figure])
        for each in measured
        if figure in each.get("published", ()) and figure in each.get("ours", ())
    ]
    line["ratio"] = statistics.median(ratios) if ratios else None
    return line


def rows(scenario: str, measured: Sequence[Mapping[str, Figures]]) -> list[Row]:
    """One row for each figure that any side has."""
    figures = dict.fromkeys(
        figure for each in measured for figures in each.values() for figure in figures
    )
    return [row(scenario, figure, measured) for figure in figures]


def number(value: object) -> str:
    if not isinstance(value, (int, float)):
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def share(line: Row, other: object) -> str:
    """How much of another client's rate both sides reach, where it is a rate."""
    published, ours = line["published"], line["ours"]
    if not str(line["figure"]).endswith("/s") or not isinstance(other, float):
        return ""
    parts = [f"{each / other:.0%}" for each in (published, ours) if isinstance(each, float)]
    return f" (reached: {', '.join(parts)})"


def printed(line: Row) -> str:
    """One line of the details."""
    others = [
        f"{side} {number(value)}{share(line, value)}"
        for side, value in line.items()
        if side not in _OWN
    ]
    return (
        f"{line['scenario']:<24}{line['figure']:<36}{number(line['published']):>12}"
        f"{number(line['ours']):>12}{number(line['ratio']):>12}  {', '.join(others)}".rstrip()
    )
