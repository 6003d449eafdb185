"""``make bench``: run scenarios on both sides in turn and print the ratios.

    python -m t.benchmarks [--rounds N] [--json FILE] [--servers redis,rabbitmq|none] [NAME ...]

A NAME is an embedded scenario ("memory put/get"), a broker ("redis") or one scenario of a broker
("amqp confirmed"); its server is started for the run. Quote ratios: single figures are only as
steady as the machine. Other clients of the same broker stand at the end of the line.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from t.benchmarks.embedded import SCENARIOS
from t.peers import measure, our_python, published_python
from t.services.awsproxy import AWSProxy
from t.services.pool import Servers, named

HERE = Path(__file__).parent

#: Broker -> client libraries that stand in the table beside both sides, and what they need.
OTHERS: dict[str, dict[str, tuple[str, ...]]] = {
    "amqp": {"py-amqp": (), "pika": ("pika",), "aio-pika": ("aio-pika",)},
}
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
    "kafka": ("kafka", "KAFKA_URL", ("publish", "batch", "consume", "latency", "idle")),
    "gcpubsub": ("pubsub", "PUBSUB_URL", ("publish", "consume", "latency", "idle")),
    "zookeeper": ("zookeeper", "ZOOKEEPER_URL", ("publish", "consume", "latency", "idle")),
    "sqs": (
        "sqs",
        "SQS_URL",
        ("publish", "consume", "latency", "idle", "calls", "calls_one_by_one", "idle_calls"),
    ),
    "etcd": ("etcd", "ETCD_URL", ("publish", "consume", "latency", "idle")),
    "consul": ("consul", "CONSUL_URL", ("publish", "consume", "latency", "idle")),
}


#: Messages where a server's every call takes longer the more messages wait.
COUNTS = {"mongodb": 500, "zookeeper": 2_000, "sqs": 300}

Run = Callable[[], Figures]


def count_of(broker: str, scenario: str) -> list[str]:
    """The argument that says how many messages, where it is not the scenario's own choice."""
    counted = broker in COUNTS and scenario not in ("latency", "idle", "idle_calls", "celery")
    return [str(COUNTS[broker])] if counted else []


def embedded_sides(scenario: str) -> dict[str, Run]:
    script = HERE / "embedded.py"
    return {
        "published": lambda: measure(published_python(), script, scenario),
        "ours": lambda: measure(our_python(), script, scenario),
    }


def broker_sides(broker: str, scenario: str, url: str, env: Mapping[str, str]) -> dict[str, Run]:
    if endpoint := env.get("SQS_ENDPOINT"):
        return {
            "published": lambda: run_counted(published_python(), scenario, endpoint),
            "ours": lambda: run_counted(our_python(), scenario, endpoint),
        }
    if scenario == "celery":
        script, arguments = HERE / "celery_rates.py", [url]
    else:
        script, arguments = HERE / "broker.py", [scenario, url, "{}", *count_of(broker, scenario)]
    sides: dict[str, Run] = {
        "published": lambda: measure(published_python(), script, *arguments),
        "ours": lambda: measure(our_python(), script, *arguments),
    }
    if scenario != "celery":
        for client, needed in OTHERS.get(broker, {}).items():
            sides[client] = partial(run_client, client, needed, scenario, url)
    return sides


def run_client(client: str, needed: tuple[str, ...], scenario: str, url: str) -> Figures:
    return measure(published_python(*needed), HERE / "clients.py", client, scenario, url)


def run_counted(python: str, scenario: str, endpoint: str) -> Figures:
    """Run a scenario on SQS, its API calls counted."""
    with AWSProxy(endpoint) as proxy:
        url = f"sqs://key:secret@{proxy.endpoint.rpartition('/')[2]}//"
        options = {
            "endpoint_url": proxy.endpoint,
            "is_secure": False,
            "region": "us-east-1",
            # Long enough for what is prefetched on a slow machine: 5.7 renews nothing.
            "visibility_timeout": 600,
        }
        count = count_of("sqs", scenario)
        figures = measure(python, HERE / "broker.py", scenario, url, json.dumps(options), *count)
        calls = sum(proxy.calls.values())
        return {name: calls * -value if value < 0 else value for name, value in figures.items()}


def in_turn(sides: dict[str, Run], rounds: int) -> Iterator[dict[str, Figures]]:
    """The figures of all sides, which take turns."""
    for _ in range(rounds):
        yield {side: run() for side, run in sides.items()}


def ratio(published: float, ours: float) -> float:
    return ours / published if published else float("inf")


def row(scenario: str, figure: str, measured: list[dict[str, Figures]]) -> dict[str, object]:
    """Medians of each side that has the figure, and of the ratios round by round."""
    line: dict[str, object] = {"scenario": scenario, "figure": figure, "published": None}
    for side in measured[0]:
        if values := [each[side][figure] for each in measured if figure in each[side]]:
            line[side] = statistics.median(values)
    ratios = [
        ratio(each["published"][figure], each["ours"][figure])
        for each in measured
        if figure in each["published"]
    ]
    line["ratio"] = statistics.median(ratios) if ratios else None
    return line


def number(value: object) -> str:
    if not isinstance(value, float):
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def chosen(names: list[str], servers: Servers) -> Iterator[tuple[str, dict[str, Run]]]:
    """Title and sides of each scenario that was asked for."""
    for name in names or [*SCENARIOS, *BROKERS]:
        if name in SCENARIOS:
            yield name, embedded_sides(name)
            continue
        broker, _, only = name.partition(" ")
        server, variable, scenarios = BROKERS[broker]
        if servers.excluded(server):
            print(f"{name}: left out, --servers does not name {server}")
            continue
        env = servers.env(server)
        for scenario in [only] if only else scenarios:
            yield f"{broker} {scenario}", broker_sides(broker, scenario, env[variable], env)


def report(line: dict[str, object]) -> None:
    others = [
        f"{side} {number(value)}"
        for side, value in line.items()
        if side not in ("scenario", "figure", "published", "ours", "ratio")
    ]
    print(
        f"{line['scenario']:<20}{line['figure']:<38}{number(line['published']):>12}"
        f"{number(line['ours']):>12}{number(line['ratio']):>12}  {', '.join(others)}".rstrip(),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*SCENARIOS, *BROKERS]))
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (default 3)")
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    parser.add_argument("--servers", help="servers that may be used; all by default")
    given = parser.parse_args()
    rows = []
    print(f"{'scenario':<20}{'figure':<38}{'published':>12}{'ours':>12}{'ratio':>12}")
    with ExitStack() as stack:
        servers = Servers(named(given.servers))
        stack.callback(servers.stop)
        for scenario, sides in chosen(given.names, servers):
            try:
                measured = list(in_turn(sides, given.rounds))
            except RuntimeError as exc:
                print(f"{scenario:<20}could not be measured: {exc}", flush=True)
                continue
            for figure in measured[0]["ours"]:
                line = row(scenario, figure, measured)
                rows.append(line)
                report(line)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
