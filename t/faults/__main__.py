"""Run the tests of the faults on the published package and here, and print the table.

python -m t.faults [--json FILE] [--servers redis,rabbitmq] [PYTEST ARGUMENT ...]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import kombu
from t.peers import PUBLISHED, ROOT, published_python, without_paths

INI = """\
[pytest]
addopts = -q -p no:cacheprovider --strict-markers --timeout=60 --tb=line
"""
Outcome = dict[str, Any]


def run(python: str, version: str, tree: Path, servers: str, arguments: list[str]) -> list[Outcome]:
    """Run the tests in ``tree`` with one interpreter; what came of each.

    Raises:
        SystemExit: it imports another version of kombu.
    """
    record = tree / "outcomes.json"
    record.unlink(missing_ok=True)
    environment = {
        **without_paths(),
        "KOMBU_FAULTS_JSON": str(record),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    chosen = (
        arguments if any("t/faults" in word for word in arguments) else ["t/faults", *arguments]
    )
    subprocess.run(
        [python, "-m", "pytest", "-c", "pytest.ini", f"--servers={servers}", *chosen],
        cwd=tree,
        env=environment,
        stdout=sys.stderr,
        timeout=900,
        check=False,
    )
    found: dict[str, Any] = json.loads(record.read_text())
    if found["version"] != version:
        raise SystemExit(f"{python} has kombu {found['version']}, not {version}")
    outcomes: list[Outcome] = found["outcomes"]
    return outcomes


def copied_tree(folder: Path) -> Path:
    """The tests without this checkout beside them, so that each side imports its own package."""
    ignored = shutil.ignore_patterns("__pycache__", "unit", "conformance", "integration")
    shutil.copytree(ROOT / "t", folder / "t", ignore=ignored)
    (folder / "pytest.ini").write_text(INI)
    return folder


def by_fault(outcomes: list[Outcome]) -> dict[str, dict[str, list[Outcome]]]:
    """Fault -> test -> its cases."""
    table: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        for fault in outcome["faults"]:
            table[fault][outcome["test"]].append(outcome)
    return table


def colour(cases: list[Outcome]) -> str:
    """``green``, ``red``, or how many of the cases are red; ``-``: not run."""
    if not cases:
        return "-"
    red = sum(not case["green"] for case in cases)
    return "green" if not red else "red" if red == len(cases) else f"red {red}/{len(cases)}"


def order(fault: str) -> tuple[int, str]:
    return (int(fault), "") if fault.isdigit() else (1000, fault)


def rows(published: list[Outcome], ours: list[Outcome]) -> list[dict[str, str]]:
    theirs, mine = by_fault(published), by_fault(ours)
    table = []
    for fault in sorted(theirs.keys() | mine.keys(), key=order):
        for test in sorted(theirs[fault].keys() | mine[fault].keys()):
            red = next((c["why"] for c in theirs[fault][test] if not c["green"]), "")
            table.append(
                {
                    "fault": fault,
                    "test": test,
                    "published": colour(theirs[fault][test]),
                    "ours": colour(mine[fault][test]),
                    "why": red.splitlines()[0] if red else "",
                }
            )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write rows and all outcomes here, too")
    parser.add_argument("--servers", default=os.environ.get("KOMBU_TEST_SERVERS") or "all")
    given, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="kombu-faults-") as folder:
        tree = copied_tree(Path(folder))
        theirs = published_python("pytest", "pytest-timeout", "packaging")
        published = run(theirs, PUBLISHED.rpartition("=")[2], tree, given.servers, arguments)
        ours = run(sys.executable, kombu.__version__, tree, given.servers, arguments)
    table = rows(published, ours)
    print(f"{'fault':<14}{'test':<68}{'published':<12}{'ours':<12}why it is red there")
    for row in table:
        print(
            f"{row['fault']:<14}{row['test'][:66]:<68}{row['published']:<12}{row['ours']:<12}"
            f"{row['why'][:90]}"
        )
    seconds = [sum(case["seconds"] for case in side) for side in (published, ours)]
    print(f"{len(table)} rows; published {seconds[0]:.0f} s, ours {seconds[1]:.0f} s")
    if given.json:
        content = {"rows": table, "published": published, "ours": ours}
        given.json.write_text(json.dumps(content, indent=1))
    return int(any(row["ours"] not in ("green",) for row in table))


if __name__ == "__main__":
    sys.exit(main())
