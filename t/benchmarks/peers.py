"""The two sides of a comparison: this checkout, and the published package in a venv of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

PUBLISHED = "kombu==5.7.0"
CACHE = Path(os.environ.get("KOMBU_PEER_VENV") or Path.home() / ".cache" / "kombu-published-5.7")
ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ("redis", "boto3", "pymongo", "kazoo", "sqlalchemy", "pyyaml", "msgpack")


def published_python() -> str:
    """The interpreter of a venv, outside the checkout, that holds the published package."""
    python = CACHE / "bin" / "python"
    if not (CACHE / ".complete").exists():
        venv.create(CACHE, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "-q", PUBLISHED, *CLIENTS]
        subprocess.run(install, check=True, timeout=600)
        (CACHE / ".complete").touch()
    return str(python)


def our_python() -> str:
    return sys.executable


def measure(python: str, script: Path, *arguments: str, timeout: float = 300) -> dict[str, float]:
    """Run one scenario in a fresh process of ``python`` and read the figures it prints."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=script.parent,
        env=environment,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"{script.name} {' '.join(arguments)}: {last[0]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures
