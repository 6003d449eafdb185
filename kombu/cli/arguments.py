"""Arguments that commands share, and the connection that they describe."""

from __future__ import annotations

import argparse
import json
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kombu.cli.console import Console
from kombu.connection import Connection

#: What a command does; returns the exit code.
Run = Callable[[argparse.Namespace, Console], int]

OK, FAILED, USAGE, NOTHING = 0, 1, 2, 3


class UsageError(Exception):
    """An argument that can't be used; the text says which and why."""


def command(subparsers: Any, name: str, run: Run, help: str) -> argparse.ArgumentParser:
    """Add a command that takes a broker's URL and the options of connections."""
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=help, description=help)
    parser.set_defaults(run=run, refuse=parser.error)
    parser.add_argument(
        "url", metavar="URL", help="the broker; env:NAME takes the URL from a variable"
    )
    parser.add_argument("--json", action="store_true", help="print results as JSON, one a line")
    connection = parser.add_argument_group("connection")
    connection.add_argument(
        "-o",
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a transport option; the value is JSON, or else text",
    )
    connection.add_argument(
        "--timeout", type=seconds, default=5.0, metavar="SECONDS", help="for connecting (5)"
    )
    connection.add_argument("--tls", action="store_true", help="use TLS")
    connection.add_argument("--tls-ca", metavar="FILE", help="certificates to trust, for TLS")
    connection.add_argument(
        "--tls-insecure", action="store_true", help="TLS without checking the certificate"
    )
    return parser


def seconds(text: str) -> float:
    """A time in seconds, for argparse."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("must be a number of seconds, not negative")
    return value


def count(text: str) -> int:
    """A number of messages, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def pairs(given: list[str], what: str) -> dict[str, Any]:
    """Read ``NAME=VALUE``, where values are JSON or else text.

    Raises:
        UsageError: one has no ``=``.
    """
    found: dict[str, Any] = {}
    for each in given:
        name, separator, text = each.partition("=")
        if not separator or not name:
            raise UsageError(f"{what} must be NAME=VALUE, not {name!r}")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def url_of(args: argparse.Namespace) -> str:
    """The URL as given, or from the variable that was named.

    Raises:
        UsageError: the variable is not set.
    """
    url: str = args.url
    if url.startswith("env:"):
        name = url[len("env:") :]
        if not os.environ.get(name):
            raise UsageError(f"the environment variable {name!r} is not set")
        return os.environ[name]
    if "://" not in url:
        raise UsageError(f"{url!r} is no URL; write for example redis://localhost or env:NAME")
    return url


def make_connection(args: argparse.Namespace, console: Console, **options: Any) -> Connection:
    """The connection that the arguments describe, not yet connected.

    Arguments:
        options: transport options that the command needs; the user's override them.
    """
    url = url_of(args)
    given = {**options, **pairs(args.option, "--option")}
    console.secrets.learn(url, given)
    return Connection(
        url,
        ssl=_tls_of(args),
        connect_timeout=args.timeout,
        transport_options=given,
    )


def _tls_of(args: argparse.Namespace) -> Any:
    if args.tls_insecure:
        return {"cert_reqs": ssl.CERT_NONE}
    if args.tls_ca:
        if not os.path.exists(args.tls_ca):
            raise UsageError(f"--tls-ca: there is no file {args.tls_ca!r}")
        return {"ca_certs": args.tls_ca, "cert_reqs": ssl.CERT_REQUIRED}
    return bool(args.tls)


@contextmanager
def connected(args: argparse.Namespace, console: Console, **options: Any) -> Iterator[Connection]:
    """A connection, connected once without retrying; released at the end."""
    connection = make_connection(args, console, **options)
    try:
        connection.ensure_connection(
            max_retries=0, timeout=args.timeout, reraise_as_library_errors=False
        )
        yield connection
    finally:
        connection.release()
