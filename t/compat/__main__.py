"""``make compat``: other projects' tests must not notice whose kombu this is.

    python -m t.compat [--only TESTS] [NAME ...]

For each project two equal venvs are made (once, in ``$KOMBU_COMPAT`` or the user's cache), one
with the published kombu and one with this checkout; its own tests run in both. What passes with
the published package must pass with ours; the exit status says whether it does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from t.compat.suites import SUITES, Suite
from t.peers import PUBLISHED, ROOT

CACHE = Path(os.environ.get("KOMBU_COMPAT") or Path.home() / ".cache" / "kombu-compat")

#: Seconds for all tests of one side.
LIMIT = 3600

SIDES = ("published", "ours")


def pip(python: Path, *arguments: str) -> str:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(
        command, check=True, timeout=1200, stdout=subprocess.PIPE, text=True
    ).stdout


def interpreter(name: str, side: str, suite: Suite) -> Path:
    """The interpreter of one side's venv; ours holds the same versions of everything else."""
    folder = CACHE / f"{name}-{side}"
    python = folder / "bin" / "python"
    complete = folder / ".complete"
    if not complete.exists():
        venv.create(folder, with_pip=True, clear=True)
        if side == "published":
            pip(python, "install", "-q", PUBLISHED, suite.requirement, *suite.needs)
        else:
            frozen = pip(interpreter(name, "published", suite), "freeze").splitlines()
            others = [line for line in frozen if not line.startswith("kombu==")]
            pip(python, "install", "-q", "--no-deps", *others)
        complete.touch()
    if side == "ours":
        pip(python, "install", "-q", "--no-deps", "--force-reinstall", str(ROOT))
    return python


def source(name: str, suite: Suite) -> Path:
    """The unpacked source archive."""
    folder = CACHE / f"{name}-source"
    if not folder.exists():
        with tempfile.TemporaryDirectory() as scratch:
            options = ("--no-deps", "--no-binary", suite.requirement.partition("==")[0], "-q")
            pip(Path(sys.executable), "download", *options, "-d", scratch, suite.requirement)
            (archive,) = Path(scratch).glob("*.tar.gz")
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            (unpacked,) = (path for path in Path(scratch).iterdir() if path.is_dir())
            shutil.copytree(unpacked, folder)
    return folder


def run(name: str, side: str, suite: Suite, only: str | None) -> dict[str, str]:
    """Run one side's tests: test -> passed, failed or skipped."""
    python = interpreter(name, side, suite)
    with tempfile.TemporaryDirectory() as scratch:
        here, report = Path(scratch) / "tests", Path(scratch) / "report.xml"
        here.mkdir()
        # Without the package itself: the installed one is tested.
        for item in suite.copied:
            path = source(name, suite) / item
            if path.is_dir():
                shutil.copytree(path, here / item)
            elif path.exists():
                shutil.copy(path, here / item)
        if suite.written:
            shutil.copy(Path(__file__).with_name(suite.written), here)
        if suite.runner == "pytest":
            options = ["-q", "--timeout=120", "-p", "no:cacheprovider", f"--junitxml={report}"]
            options += ["-o", "addopts="]  # theirs ask for coverage, or to run in parallel
            options += [f"--ignore={path}" for path in suite.left_out]
        else:
            options = ["--output-file", str(report)]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        log = CACHE / f"{name}-{side}.log"
        with log.open("wb") as out:
            subprocess.run(
                [str(python), "-m", suite.runner, *options, *(only or suite.tests).split()],
                cwd=here,
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=LIMIT,
            )
        if not report.exists():
            raise RuntimeError(f"{name} with {side}: no report; see {log}")
        return outcomes(report)


def outcomes(report: Path) -> dict[str, str]:
    """Test -> passed, failed or skipped. What only its teardown says counts as passed: a thread
    that one test leaves behind would fail every one after it."""
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        outcome = "passed"
        for child in case:
            teardown = "on teardown" in (child.get("message") or "")
            if child.tag == "failure" or (child.tag == "error" and not teardown):
                outcome = "failed"
            elif child.tag == "skipped" and outcome == "passed":
                outcome = "skipped"
        if found.get(name) != "failed":
            found[name] = outcome
    return found


def compare(name: str, suite: Suite, only: str | None) -> bool:
    """Print the table of one suite; whether nothing is wrong."""
    theirs, ours = (run(name, side, suite, only) for side in SIDES)
    print(f"{suite.requirement:<28}{'passed':>8}{'failed':>8}{'skipped':>9}")
    for side, results in zip(SIDES, (theirs, ours), strict=True):
        count = Counter(results.values())
        print(f"  {side:<26}{count['passed']:>8}{count['failed']:>8}{count['skipped']:>9}")
    lost = [test for test, how in theirs.items() if how == "passed" and ours.get(test) != how]
    gained = [test for test, how in ours.items() if how == "passed" and theirs.get(test) != how]
    wrong = [test for test in lost if test not in suite.excused]
    for test in sorted(set(lost) - set(wrong)):
        print(f"  differs: {test}: {suite.excused[test]}")
    for test in sorted(gained):
        print(f"  only with ours: {test}")
    for test in sorted(wrong):
        print(f"  ONLY WITH PUBLISHED: {test} ({ours.get(test, 'not run')})")
    return not wrong


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SUITES))
    parser.add_argument("--only", help="files or folders of the suite instead of all its tests")
    given = parser.parse_args()
    if unknown := set(given.names) - SUITES.keys():
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are: {', '.join(SUITES)}")
    names = given.names or list(SUITES)
    right = [compare(name, SUITES[name], given.only) for name in names]
    sys.exit(not all(right))


if __name__ == "__main__":
    main()
