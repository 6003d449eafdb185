"""What is installed: version, dependencies, extras."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import metadata, version
from pathlib import Path

import kombu

ROOT = Path(__file__).parents[2]

#: Extras of 5.7.0; whoever installs with them must be able to go on doing so.
PUBLISHED_EXTRAS = {
    *("azureservicebus", "azurestoragequeues", "confluentkafka", "consul", "gcpubsub"),
    *("librabbitmq", "mongodb", "msgpack", "pgmq", "pyro", "qpid", "redis", "slmq"),
    *("sqlalchemy", "sqs", "yaml", "zookeeper"),
}


def test_version_is_said_once() -> None:
    assert version("kombu") == kombu.__version__ == "5.8.0"
    assert ".".join(map(str, kombu.VERSION[:3])) == kombu.__version__


def test_extras_of_the_published_package_are_kept() -> None:
    extras = set(metadata("kombu").get_all("Provides-Extra") or ())
    assert extras >= {*PUBLISHED_EXTRAS, "etcd", "brotli", "zstd"}


def test_every_extra_file_is_an_extra() -> None:
    files = {path.stem for path in (ROOT / "requirements" / "extras").glob("*.txt")}
    assert files == set(metadata("kombu").get_all("Provides-Extra") or ())


def test_the_documentation_names_every_extra() -> None:
    page = (ROOT / "docs" / "installation.rst").read_text()
    extras = metadata("kombu").get_all("Provides-Extra") or ()
    assert [extra for extra in extras if f"``{extra}``" not in page] == []


def test_only_amqp_and_vine_are_needed() -> None:
    needed = [
        line.split(">")[0]
        for line in metadata("kombu").get_all("Requires-Dist") or ()
        if "extra ==" not in line and "win32" not in line
    ]
    assert sorted(each.split("<")[0].strip() for each in needed) == ["amqp", "vine"]


def test_import_loads_no_client_and_no_transport() -> None:
    code = """
import sys, kombu
loaded = {name.split(".")[0] for name in sys.modules}
print(sorted(loaded & {"amqp", "redis", "boto3", "pymongo", "kazoo", "yaml", "msgpack"}))
print([name for name in sys.modules if name.startswith("kombu.transport")])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:2] == ["[]", "[]"]


def test_typed() -> None:
    assert (Path(kombu.__file__).parent / "py.typed").exists()
