"""The two sides of a comparison, each in a venv of its own outside the checkout."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = "kombu==5.7.0"
CACHE = Path(os.environ.get("KOMBU_PEERS") or Path.home() / ".cache" / "kombu-peers")
CLIENTS = (
    "redis",
    "boto3",
    "pymongo",
    "kazoo",
    "confluent-kafka",
    "google-cloud-pubsub",
    "google-cloud-monitoring",
    "h11",
    "python-consul2",
    "python-etcd",
    "sqlalchemy",
    "pyyaml",
    "msgpack",
    "celery==5.7.0",
)


def _python(folder: Path) -> str:
    return str(folder / "bin" / "python")


def _install(folder: Path, *requirements: str) -> None:
    command = [_python(folder), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*command, *requirements], check=True, timeout=900)


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time makes venvs: workers of one test run share them."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _venv(name: str) -> Path:
    folder = CACHE / name
    if not (folder / "bin").exists():
        venv.create(folder, with_pip=True, clear=True)
    return folder


def _add(folder: Path, needed: tuple[str, ...]) -> None:
    """Install what is not there yet."""
    absent = [name for name in needed if not (folder / f".{name}").exists()]
    if absent:
        _install(folder, *absent)
        for name in absent:
            (folder / f".{name}").touch()


@cache
def published_python(*needed: str) -> str:
    """The interpreter of a venv that holds the published package and its clients.

    Arguments:
        needed: further distributions that must be there.

    KOMBU_PUBLISHED_PYTHON names an interpreter that has all that.
    """
    if given := os.environ.get("KOMBU_PUBLISHED_PYTHON"):
        return given
    with _alone():
        folder = _venv("published-5.7")
        if not (folder / ".complete").exists():
            _install(folder, PUBLISHED, *CLIENTS)
            (folder / ".complete").touch()
        _add(folder, needed)
    return _python(folder)


@cache
def our_python(*needed: str) -> str:
    """The interpreter of a venv like it that holds this checkout, installed as users do."""
    with _alone():
        folder = _ours()
        _add(folder, needed)
    return _python(folder)


@cache
def _ours() -> Path:
    folder = _venv("ours")
    if not (folder / ".complete").exists():
        _install(folder, f"{ROOT}", "msgspec", *CLIENTS)
        (folder / ".complete").touch()
    _install(folder, "--no-deps", "--force-reinstall", str(ROOT))
    return folder


def without_paths() -> dict[str, str]:
    """The environment for either side: nothing in it says where modules are."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def measure(
    python: str,
    script: Path,
    *arguments: str,
    timeout: float = 300,
    env: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """Run one scenario in a fresh process of ``python`` and read the figures it prints.

    Arguments:
        timeout: seconds.
        env: further variables of its environment.

    Raises:
        RuntimeError: the process failed; with the last line it wrote.
    """
    done = subprocess.run(
        [python, str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=script.parent,
        env={**without_paths(), **(env or {})},
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"{script.name} {' '.join(arguments)}: {last[0]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures
