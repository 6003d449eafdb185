"""The commands, and what becomes of errors."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import kombu
from kombu.cli import bench, completions, consume, doctor, publish, queues, requeue
from kombu.cli.arguments import FAILED, USAGE, UsageError, make_connection, url_of
from kombu.cli.console import Console, OutputClosed
from kombu.cli.diagnosis import diagnose
from kombu.cli.target import Target, target_of, unknown_target

INTERRUPTED = 130

_EPILOG = """\
try first: kombu doctor redis://localhost

exit codes: 0 done; 1 it failed, or the broker refused; 2 wrong usage; 3 there was no message;
130 interrupted. Passwords are never printed; env:NAME keeps them out of the list of processes.
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="kombu",
        description="Look into message brokers, and use them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kombu {kombu.__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (publish, consume, queues, requeue, doctor, bench, completions):
        module.add(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code.

    Arguments:
        argv: arguments, without the program's name; by default those of the process.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = make_parser()
    if not argv:
        parser.print_help(sys.stderr)
        return USAGE
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        # By the command's own parser: its usage shows what could have been meant.
        args.refuse(f"unrecognized arguments: {' '.join(unknown)} (options follow the command)")
    console = Console(args.json)

    def show_warning(message: Any, *args: Any, **kwargs: Any) -> None:
        console.message(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = show_warning
        try:
            return int(args.run(args, console))
        except UsageError as exc:
            console.message(f"kombu: {exc}")
            return USAGE
        except KeyboardInterrupt:
            return INTERRUPTED
        except OutputClosed:
            # It shall not be flushed at exit again.
            sys.stdout = None
            return FAILED
        except Exception as exc:  # noqa: BLE001 - a message, not a traceback, is what users need
            return _failed(exc, args, console)


def _failed(exc: Exception, args: argparse.Namespace, console: Console) -> int:
    found = diagnose(exc, _target(args, console))
    console.message(f"kombu: {found.cause}")
    if found.kind != "unknown":
        console.message(f"       {found.mend}")
        console.message("       more: kombu doctor URL")
    return FAILED


def _target(args: argparse.Namespace, console: Console) -> Target:
    try:
        url = url_of(args)
        if ";" not in url:
            return target_of(make_connection(args, console), url)
    except (AttributeError, ImportError, KeyError, UsageError, ValueError):
        url = str(getattr(args, "url", ""))
    return unknown_target(url)
