"""The command line: ``kombu``, or ``python -m kombu``."""

from __future__ import annotations

from kombu.cli.main import main

__all__ = ("main",)
