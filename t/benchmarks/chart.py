"""The chart of the documentation: how many times faster, broker by broker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from t.benchmarks.summary import FIGURES, Line, times

#: What is drawn, and how the legend names it.
DRAWN = {
    "publish/s": ("publish, messages/s", "#1f6f8b"),
    "consume+ack/s": ("consume and acknowledge, messages/s", "#e07a1f"),
    "latency p50, ms": ("publish to callback, median", "#6a994e"),
    "consume CPU, us/message": ("processor time a message consumed", "#8e6c8a"),
}


def draw(table: Sequence[Line], target: Path) -> bool:
    """Write the chart; ``False`` when there is nothing to compare, or no matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    ratios = {(line.broker, line.figure.shown): line.better for line in table}
    brokers = list(dict.fromkeys(line.broker for line in table if line.better is not None))
    if not brokers:
        return False
    shown = [figure.shown for figure in FIGURES if figure.shown in DRAWN]
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.75 * len(brokers)), dpi=150)
    height = 0.8 / len(shown)
    for number, name in enumerate(shown):
        label, colour = DRAWN[name]
        found = [
            (place, value)
            for place, broker in enumerate(brokers)
            if (value := ratios.get((broker, name))) is not None
        ]
        places = [place + (number - (len(shown) - 1) / 2) * height for place, _ in found]
        # Bars go from "the same" to the right where ours is better, to the left where worse.
        widths = [value - 1 for _, value in found]
        bars = axes.barh(places, widths, height * 0.92, left=1, color=colour, label=label)
        for bar, (_, value) in zip(bars, found, strict=True):
            axes.annotate(
                times(value),
                (max(value, 1), bar.get_y() + bar.get_height() / 2),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
            )
    axes.set_xscale("log")
    axes.axvline(1, color="#444444", linewidth=1)
    axes.set_yticks(range(len(brokers)), brokers)
    axes.invert_yaxis()
    axes.set_xlabel("times better than kombu 5.7 (1 = the same; logarithmic)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} x")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.5 / len(brokers) - 0.03), ncols=2,
                fontsize=8, frameon=False)  # fmt: skip
    figure.savefig(target, bbox_inches="tight")
    pyplot.close(figure)
    return True
