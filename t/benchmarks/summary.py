"""The one table: what matters of each broker, published, ours, and the floor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from t.benchmarks.brokers import BROKERS
from t.benchmarks.rows import Row, number
from t.tools.tables import list_table


class Figure(NamedTuple):
    """One line of each broker.

    Arguments:
        shown: its name in the table.
        scenario: where it is measured.
        name: as that scenario names it.
        rate: more is better; else less is.
    """

    shown: str
    scenario: str
    name: str
    rate: bool


FIGURES = (
    Figure("publish/s", "publish", "publish/s", True),
    Figure("consume+ack/s", "consume", "consume+ack/s", True),
    Figure("latency p50, ms", "latency", "p50 ms", False),
    Figure("latency p99, ms", "latency", "p99 ms", False),
    Figure("publish CPU, us/message", "publish", "publish cpu us/message", False),
    Figure("consume CPU, us/message", "consume", "cpu us/message", False),
    Figure("memory, MB", "consume", "memory MB", False),
    Figure("idle CPU, %", "idle", "cpu %", False),
    Figure("connections", "idle", "connections", False),
)

EXPLAINED = (
    "better: how many times better ours is, above 1 for more of a rate and for less of a cost; "
    "raw: the broker's client without kombu"
)


class Line(NamedTuple):
    """One figure of one broker."""

    broker: str
    figure: Figure
    published: float | None
    ours: float | None
    better: float | None
    raw: float | None


def better(figure: Figure, row: Row) -> float | None:
    """How many times better ours is; ``None`` where that says nothing."""
    ratio, published, ours = row["ratio"], row["published"], row["ours"]
    if ratio is None or not published or not ours:
        return None
    return float(ratio if figure.rate else 1 / ratio)


def lines(rows: Iterable[Row]) -> Iterator[Line]:
    """The table's lines, of the brokers that were measured."""
    by_name = {(str(row["scenario"]), str(row["figure"])): row for row in rows}
    for name, broker in BROKERS.items():
        for figure in FIGURES:
            row = by_name.get((f"{name} {figure.scenario}", figure.name))
            if row is not None:
                raw = row.get(next(iter(broker.clients), ""))
                yield Line(name, figure, row["published"], row["ours"], better(figure, row), raw)


def as_text(table: Sequence[Line]) -> Iterator[str]:
    """For a terminal."""
    yield f"{'broker':<20}{'figure':<26}{'published':>12}{'ours':>12}{'better':>10}{'raw':>12}"
    before = ""
    for line in table:
        if before not in ("", line.broker):
            yield ""
        yield (
            f"{'' if line.broker == before else line.broker:<20}{line.figure.shown:<26}"
            f"{number(line.published):>12}{number(line.ours):>12}"
            f"{times(line.better):>10}{number(line.raw):>12}"
        )
        before = line.broker
    yield EXPLAINED


def times(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f} x" if value >= 20 else f"{value:.2g} x"


def as_rst(table: Sequence[Line]) -> str:
    """For the documentation: a line for each broker, "published → ours" in its columns."""
    brokers: dict[str, dict[Figure, Line]] = {}
    for line in table:
        brokers.setdefault(line.broker, {})[line.figure] = line

    def cell(line: Line | None) -> str:
        if line is None or line.ours is None:
            return "\\-"
        both = f"{number(line.published)} → {number(line.ours)}"
        raw = f" (raw {number(line.raw)})" if line.raw is not None else ""
        return f"{both}{raw}".replace("- →", "")

    return list_table(
        "make bench",
        ["Broker", *(figure.shown for figure in FIGURES)],
        [[name, *(cell(found.get(f)) for f in FIGURES)] for name, found in brokers.items()],
    )
