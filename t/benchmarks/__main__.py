"""``make bench``: run scenarios on both sides in turn and print the ratios.

python -m t.benchmarks [--rounds N] [--json FILE] [SCENARIO ...]
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path

from t.benchmarks.embedded import SCENARIOS
from t.benchmarks.peers import measure, our_python, published_python

EMBEDDED = Path(__file__).with_name("embedded.py")


def rounds(scenario: str, count: int) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """Pairs of figures (published, ours), the two sides taking turns."""
    for _ in range(count):
        yield (
            measure(published_python(), EMBEDDED, scenario),
            measure(our_python(), EMBEDDED, scenario),
        )


def row(scenario: str, figure: str, published: list[float], ours: list[float]) -> dict[str, object]:
    pairs = [
        mine / theirs if theirs else float("inf")
        for theirs, mine in zip(published, ours, strict=True)
    ]
    return {
        "scenario": scenario,
        "figure": figure,
        "published": statistics.median(published),
        "ours": statistics.median(ours),
        "ratio": statistics.median(pairs),
    }


def number(value: object) -> str:
    assert isinstance(value, float)
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs (default 3)")
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    given = parser.parse_args()
    rows = []
    print(f"{'scenario':<18}{'figure':<38}{'published':>12}{'ours':>12}{'ours/published':>16}")
    for scenario in given.scenarios or SCENARIOS:
        pairs = list(rounds(scenario, given.rounds))
        for figure in pairs[0][0]:
            line = row(
                scenario, figure, [p[figure] for p, _ in pairs], [o[figure] for _, o in pairs]
            )
            rows.append(line)
            print(
                f"{scenario:<18}{figure:<38}{number(line['published']):>12}"
                f"{number(line['ours']):>12}{number(line['ratio']):>16}",
                flush=True,
            )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
