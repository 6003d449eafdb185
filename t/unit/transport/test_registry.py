from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import kombu
from kombu import Connection
from kombu.transport import (
    TRANSPORT_ALIASES,
    NoSuchTransport,
    get_transport_cls,
    resolve_transport,
    supports_librabbitmq,
)
from kombu.transport.base import Transport


def test_by_name_by_path_and_by_class() -> None:
    memory = get_transport_cls("memory")
    assert issubclass(memory, Transport)
    assert resolve_transport("kombu.transport.memory:Transport") is memory
    assert resolve_transport("kombu.transport.memory.Transport") is memory
    assert resolve_transport(memory) is memory


@pytest.mark.parametrize(
    ("name", "near"), [("redi", "redis"), ("mongo", "mongodb"), ("amq", "amqp")]
)
def test_unknown_name_suggests_one(name: str, near: str) -> None:
    with pytest.raises(KeyError, match=f"No such transport: {name}.*{near}") as caught:
        get_transport_cls(name)
    assert isinstance(caught.value, NoSuchTransport)
    assert not str(caught.value).startswith("'")


def test_unknown_scheme_of_a_connection() -> None:
    with pytest.raises(KeyError, match="No such transport: nosuch"):
        Connection("nosuch://h")


def test_aliases_of_an_application(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = get_transport_cls("memory")
    for alias in ("kombu.transport.memory:Transport", memory, lambda: memory):
        monkeypatch.setitem(TRANSPORT_ALIASES, "mine", alias)
        assert get_transport_cls("mine") is memory


def test_entry_points_of_installed_distributions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[kombu.transports]\ntheirs = kombu.transport.memory:Transport\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    try:
        assert Connection("theirs://h").transport.driver_type == "memory"
        with pytest.raises(KeyError, match="Did you mean theirs"):
            get_transport_cls("their")
    finally:
        TRANSPORT_ALIASES.pop("theirs", None)


def test_librabbitmq() -> None:
    assert supports_librabbitmq() is False


def test_version() -> None:
    assert kombu.__version__ == "5.8.0"
    assert kombu.VERSION == kombu.version_info == (5, 8, 0, "", "")


def test_every_public_name_is_there() -> None:
    for name in kombu.__all__:
        assert getattr(kombu, name) is not None
    assert set(kombu.__all__) <= set(dir(kombu))
    assert kombu.pools.connections is kombu.connections
    with pytest.raises(AttributeError, match="nosuch"):
        _ = kombu.nosuch
