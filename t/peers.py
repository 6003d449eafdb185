"""The two sides of a comparison: this checkout, and the published package in a venv of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

PUBLISHED = "kombu==5.7.0"
CACHE = Path(os.environ.get("KOMBU_PEER_VENV") or Path.home() / ".cache" / "kombu-published-5.7")
ROOT = Path(__file__).resolve().parents[1]
CLIENTS = ("redis", "boto3", "pymongo", "kazoo", "sqlalchemy", "pyyaml", "msgpack")


def published_python(*needed: str) -> str:
    """The interpreter of a venv, outside the checkout, that holds the published package.

    Arguments:
        needed: further distributions that must be there.
    """
    python = CACHE / "bin" / "python"
    if not (CACHE / ".complete").exists():
        venv.create(CACHE, with_pip=True, clear=True)
        _install(python, PUBLISHED, *CLIENTS)
        (CACHE / ".complete").touch()
    absent = [name for name in needed if not (CACHE / f".{name}").exists()]
    if absent:
        _install(python, *absent)
        for name in absent:
            (CACHE / f".{name}").touch()
    return str(python)


def our_python() -> str:
    """The interpreter that runs this, with this checkout."""
    return sys.executable


def without_paths() -> dict[str, str]:
    """The environment for either side: nothing in it says where modules are."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def _install(python: Path, *names: str) -> None:
    subprocess.run([str(python), "-m", "pip", "install", "-q", *names], check=True, timeout=600)
