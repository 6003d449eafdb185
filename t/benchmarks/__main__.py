"""``make bench``: run scenarios on both sides in turn, print the ratios, and one table.

    python -m t.benchmarks [--rounds N] [--minutes M] [--out FOLDER] [--servers A,B|none] [NAME ...]

A NAME is an embedded scenario ("topic bindings"), a broker ("redis") or one scenario of a broker
("amqp confirmed"); its server is started for the run. Without a NAME all brokers are measured, each
by what the table needs, in less than 15 minutes on two processors. Quote ratios: single figures are
only as steady as the machine. A side that fails, and a server that is missing, leave a gap in the
table and do not end the run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from t.benchmarks import chart, summary
from t.benchmarks.brokers import BROKERS, HERE, ONCE, SUMMARY, Run, prepared
from t.benchmarks.embedded import SCENARIOS
from t.benchmarks.rows import Figures, Row, printed, rows
from t.peers import measure, our_python, published_python
from t.services.pool import Servers, named

#: Embedded scenarios that say the same as the memory broker's, so that they run when asked for.
ON_DEMAND = frozenset({"memory put/get", "memory consume", "memory latency", "idle"})


def embedded_sides(scenario: str) -> dict[str, Run]:
    script = HERE / "embedded.py"
    return {
        "published": lambda: measure(published_python(), script, scenario),
        "ours": lambda: measure(our_python(), script, scenario),
    }


def in_turn(
    scenario: str, sides: Mapping[str, Run], rounds: int, deadline: float
) -> Iterator[dict[str, Figures]]:
    """The figures of all sides, which take turns: at least once, until the deadline.

    A side that fails has no figures in this round, and does not take part in later ones.
    """
    failed: set[str] = set()
    for number in range(rounds):
        if number and time.monotonic() > deadline:
            return
        found: dict[str, Figures] = {}
        for side, run in sides.items():
            if side in failed:
                continue
            try:
                found[side] = run()
            except (RuntimeError, OSError, subprocess.SubprocessError) as exc:
                failed.add(side)
                print(f"{scenario:<24}{side} could not be measured: {reason(exc)}", flush=True)
        yield found


def reason(exc: Exception) -> str:
    if isinstance(exc, subprocess.TimeoutExpired):
        return f"not done after {exc.timeout:.0f} s"
    return str(exc).splitlines()[0] if str(exc) else type(exc).__name__


class Bench:
    """One run: what is asked for, and the rows that were measured."""

    def __init__(self, names: list[str], rounds: int, minutes: float, servers: Servers) -> None:
        self.names = names or [*(n for n in SCENARIOS if n not in ON_DEMAND), *BROKERS]
        self.everything = not names
        self.rounds = rounds
        self.servers = servers
        self.rows: list[Row] = []
        self._end = time.monotonic() + minutes * 60

    def run(self) -> None:
        for number, name in enumerate(self.names):
            # What is left of the time, shared by what is left to do.
            left = max(self._end - time.monotonic(), 0)
            until = time.monotonic() + left / (len(self.names) - number)
            if name in SCENARIOS:
                self._measure(name, embedded_sides(name), until)
            else:
                self._broker(name, until)

    def _broker(self, name: str, until: float) -> None:
        broker, _, only = name.partition(" ")
        about = BROKERS[broker]
        if not about.available:
            print(f"{broker}: left out, this kombu does not have it")
            return
        if about.server and self.servers.excluded(about.server):
            print(f"{broker}: left out, --servers does not name {about.server}")
            return
        more = () if self.everything else about.more
        scenarios = [only] if only else [*SUMMARY, *more]
        floors = list(about.clients)[:1] if self.everything else list(about.clients)
        try:
            with prepared(about, self.servers) as sides_of:
                for number, scenario in enumerate(scenarios):
                    sides = {
                        side: run
                        for side, run in sides_of(scenario).items()
                        if side in ("published", "ours", *floors)
                    }
                    share = max(until - time.monotonic(), 0) / (len(scenarios) - number)
                    self._measure(f"{broker} {scenario}", sides, time.monotonic() + share)
        except Exception as exc:  # noqa: BLE001 - one broker must not end the run
            print(f"{broker:<24}could not be measured: {reason(exc)}", flush=True)

    def _measure(self, scenario: str, sides: Mapping[str, Run], until: float) -> None:
        rounds = 1 if scenario.rpartition(" ")[2] in ONCE else self.rounds
        for line in rows(scenario, list(in_turn(scenario, sides, rounds, until))):
            self.rows.append(line)
            print(printed(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*SCENARIOS, *BROKERS]))
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (default 3)")
    parser.add_argument(
        "--minutes",
        type=float,
        default=12,
        help="after that, each scenario has one turn only (default 12)",
    )
    parser.add_argument(
        "--out", type=Path, help="folder for benchmarks.json, .png and .txt (a table for the docs)"
    )
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    parser.add_argument("--servers", help="servers that may be used; all by default")
    given = parser.parse_args()
    for name in given.names:
        if name not in SCENARIOS and name.partition(" ")[0] not in BROKERS:
            parser.error(f"no scenario or broker {name!r}; there are: {', '.join(BROKERS)}")
    print(f"{'scenario':<24}{'figure':<36}{'published':>12}{'ours':>12}{'ratio':>12}")
    with ExitStack() as stack:
        servers = Servers(named(given.servers))
        stack.callback(servers.stop)
        bench = Bench(given.names, given.rounds, given.minutes, servers)
        try:
            bench.run()
        finally:
            finish(bench.rows, given.out, given.json)


def finish(measured: list[Row], out: Path | None, json_file: Path | None) -> None:
    """Print the table and write the files, of what there is."""
    table = list(summary.lines(measured))
    print("", *summary.as_text(table), sep="\n", flush=True)
    text = json.dumps(measured, indent=1) + "\n"
    if json_file:
        json_file.write_text(text)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "benchmarks.json").write_text(text)
        (out / "benchmarks.txt").write_text(summary.as_rst(table))
        if not chart.draw(table, out / "benchmarks.png"):
            print("no chart: nothing to compare, or matplotlib is missing")
        print(f"written to {out}")


if __name__ == "__main__":
    main()
