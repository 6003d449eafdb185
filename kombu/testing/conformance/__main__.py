"""``python -m kombu.testing.conformance [--json FILE] [--strict] URL...``: run the suite.

Each URL names a broker that may be used; what the tests make there they delete again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from kombu import Connection
from kombu.testing.conformance import Harness, TransportConformance
from kombu.testing.conformance.record import Recorder


def suite_for(url: str, options: dict[str, Any], strict: bool) -> type[TransportConformance]:
    """A test class for one URL, with the features that its transport declares."""
    transport = Connection(url).get_transport_cls()
    always_strict = transport.driver_type == "amqp"

    def harness(self: Any) -> Iterator[Harness]:
        with Harness(
            url, transport_options=options, strict=strict, always_strict=always_strict
        ) as made:
            yield made

    scheme = url.partition(":")[0].partition("+")[0]
    return type(
        f"Test{scheme.capitalize()}{'Strict' if strict else ''}",
        (TransportConformance,),
        {
            "__module__": __name__,
            "features": transport.features,
            "drop_in": not (strict or always_strict),
            "harness": pytest.fixture(harness),
        },
    )


class _Suites:
    """A pytest plugin that gives the suites to pytest as if a module had them."""

    def __init__(self, suites: list[type[TransportConformance]]) -> None:
        self.suites = {suite.__name__: suite for suite in suites}

    def pytest_pycollect_makemodule(self, module_path: Any, parent: Any) -> Any:
        module = pytest.Module.from_parent(parent, path=module_path)
        module.obj = type("suites", (), self.suites)
        return module


def main(arguments: list[str] | None = None) -> int:
    """Run the suite on each URL; returns pytest's exit code."""
    parser = argparse.ArgumentParser(prog="python -m kombu.testing.conformance")
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--json", metavar="FILE", help="write which capabilities passed")
    parser.add_argument("--strict", action="store_true", help="with the option strict")
    parser.add_argument(
        "--options", metavar="JSON", type=json.loads, default={}, help="transport options"
    )
    given = parser.parse_args(arguments)
    suites = [suite_for(url, given.options, given.strict) for url in given.urls]
    plugins: list[Any] = [_Suites(suites)]
    if given.json:
        plugins.append(Recorder(given.json))
    return int(pytest.main(["-q", "-p", "no:cacheprovider", "--tb=short", __file__], plugins))


if __name__ == "__main__":
    sys.exit(main())
