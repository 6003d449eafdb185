"""``python -m t.services list | install NAME... | run NAME... -- COMMAND...``"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from t.services import REGISTRY, ServiceError
from t.services.programs import install


def show() -> int:
    """What there is and what is missing here."""
    for name, service in REGISTRY.items():
        gone = service().missing()
        print(f"{name:20} {'needs ' + ','.join(gone) if gone else 'ready':28} {service.doc}")
    return 0


def install_all(names: list[str]) -> int:
    """Get what the services need; 1 when one could not be had."""
    failed = 0
    for name in names:
        print(f"{name}: ", end="", flush=True)
        try:
            install(REGISTRY[name])
        except (ServiceError, subprocess.TimeoutExpired) as exc:
            print(f"FAILED {exc}")
            failed = 1
        else:
            print("ok")
    return failed


def run(names: list[str], command: list[str]) -> int:
    """Start services, run a command with their variables, stop them."""
    started = []
    env = dict(os.environ)
    try:
        for name in names:
            service = REGISTRY[name]()
            started.append(service)
            env.update(service.up())
        return subprocess.call(command, env=env)
    finally:
        for service in reversed(started):
            service.stop()


def main(arguments: list[str]) -> int:
    command: list[str] = []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, command = arguments[:cut], arguments[cut + 1 :]
    parser = argparse.ArgumentParser(prog="python -m t.services", description=__doc__)
    parser.add_argument("action", choices=("list", "install", "run"))
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_args(arguments)
    names = list(REGISTRY) if given.names == ["all"] else given.names
    if unknown := [name for name in names if name not in REGISTRY]:
        parser.error(f"unknown: {' '.join(unknown)}; there are: {' '.join(REGISTRY)}")
    if given.action == "list":
        return show()
    if given.action == "install":
        return install_all(names)
    return run(names, command or parser.error("what is to be run? give -- COMMAND"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
