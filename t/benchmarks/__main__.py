"""``make bench``: run scenarios on both sides in turn and print the ratios.

    python -m t.benchmarks [--rounds N] [--json FILE] [--servers redis,rabbitmq|none] [NAME ...]

A NAME is an embedded scenario ("memory put/get") or a broker ("redis"), whose server is
started for the run. Quote ratios: single figures are only as steady as the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from t.benchmarks.embedded import SCENARIOS
from t.peers import measure, our_python, published_python
from t.services.pool import Servers, named

HERE = Path(__file__).parent
Figures = dict[str, float]

#: Broker -> the server it needs, the variable that holds its URL, and what is measured there.
BROKERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "redis": ("redis", "REDIS_URL", ("publish", "batch", "consume", "latency", "idle", "celery")),
    "amqp": (
        "rabbitmq",
        "RABBITMQ_URL",
        ("publish", "confirmed", "batch", "consume", "latency", "celery"),
    ),
    "mongodb": ("mongodb", "MONGODB_URL", ("publish", "consume", "latency", "idle")),
    "azurite": ("azurite", "AZURE_QUEUES_URL", ("publish", "consume", "latency", "idle")),
    "zookeeper": ("zookeeper", "ZOOKEEPER_URL", ("publish", "consume", "latency", "idle")),
}


def run_embedded(scenario: str) -> Callable[[str], Figures]:
    return lambda python: measure(python, HERE / "embedded.py", scenario)


def run_broker(scenario: str, url: str) -> Callable[[str], Figures]:
    if scenario == "celery":
        return lambda python: measure(python, HERE / "celery_rates.py", url)
    return lambda python: measure(python, HERE / "broker.py", scenario, url)


def pairs(run: Callable[[str], Figures], rounds: int) -> Iterator[tuple[Figures, Figures]]:
    """Figures (published, ours), the two sides taking turns."""
    for _ in range(rounds):
        yield run(published_python()), run(our_python())


def ratio(published: float, ours: float) -> float:
    return ours / published if published else float("inf")


def row(scenario: str, figure: str, measured: list[tuple[Figures, Figures]]) -> dict[str, object]:
    published = [theirs[figure] for theirs, _ in measured if figure in theirs]
    ours = [mine[figure] for _, mine in measured]
    ratios = [ratio(*both) for both in zip(published, ours, strict=False)]
    return {
        "scenario": scenario,
        "figure": figure,
        "published": statistics.median(published) if published else None,
        "ours": statistics.median(ours),
        "ratio": statistics.median(ratios) if ratios else None,
    }


def number(value: object) -> str:
    if not isinstance(value, float):
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def chosen(names: list[str], servers: Servers) -> Iterator[tuple[str, Callable[[str], Figures]]]:
    """Title and run of each scenario that was asked for."""
    for name in names or [*SCENARIOS, *BROKERS]:
        if name in SCENARIOS:
            yield name, run_embedded(name)
            continue
        server, variable, scenarios = BROKERS[name]
        if servers.excluded(server):
            print(f"{name}: left out, --servers does not name {server}")
            continue
        url = servers.env(server)[variable]
        for scenario in scenarios:
            yield f"{name} {scenario}", run_broker(scenario, url)


def report(line: dict[str, object]) -> None:
    print(
        f"{line['scenario']:<20}{line['figure']:<38}{number(line['published']):>12}"
        f"{number(line['ours']):>12}{number(line['ratio']):>12}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*SCENARIOS, *BROKERS]))
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs (default 3)")
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    parser.add_argument("--servers", help="servers that may be used; all by default")
    given = parser.parse_args()
    rows = []
    print(f"{'scenario':<20}{'figure':<38}{'published':>12}{'ours':>12}{'ratio':>12}")
    with ExitStack() as stack:
        servers = Servers(named(given.servers))
        stack.callback(servers.stop)
        for scenario, run in chosen(given.names, servers):
            try:
                measured = list(pairs(run, given.rounds))
            except RuntimeError as exc:
                print(f"{scenario:<20}could not be measured: {exc}", flush=True)
                continue
            for figure in measured[0][1]:
                line = row(scenario, figure, measured)
                rows.append(line)
                report(line)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
