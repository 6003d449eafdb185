"""Figures of one scenario, from a fresh process of either side."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from t.peers import our_python, published_python, without_paths

__all__ = ("measure", "our_python", "published_python")


def measure(python: str, script: Path, *arguments: str, timeout: float = 300) -> dict[str, float]:
    """Run one scenario in a fresh process of ``python`` and read the figures it prints."""
    done = subprocess.run(
        [python, str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=script.parent,
        env=without_paths(),
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"{script.name} {' '.join(arguments)}: {last[0]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures
