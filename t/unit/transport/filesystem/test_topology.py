"""Exchange tables as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from amqp.exceptions import ChannelError

from kombu.transport.filesystem.control import Control
from kombu.transport.filesystem.queues import Queues
from kombu.transport.filesystem.topology import FilesystemTopology


@pytest.fixture
def topology(tmp_path: Path) -> FilesystemTopology:
    control = Control(str(tmp_path / "control"))
    return FilesystemTopology(control, Queues(control))


@pytest.mark.parametrize("name", ["ok", "a..b", "", "x" * 300, "a-b_c.d"])
def test_names_that_were_good_in_5_7(topology: FilesystemTopology, name: str) -> None:
    topology.declare_exchange(name, "topic")
    topology.delete_exchange(name)


@pytest.mark.parametrize("name", ["a/b", "..", ".", "CON", "con.x", "x y", "é", "COM1"])
def test_names_that_were_refused_by_5_7(topology: FilesystemTopology, name: str) -> None:
    with pytest.raises(ChannelError, match="file name"):
        topology.declare_exchange(name, "direct")


def test_nothing_is_bound_to_a_name_too_long(topology: FilesystemTopology) -> None:
    with pytest.raises(ChannelError, match="300 characters"):
        topology.bind("x" * 300, "", "", "q")


def test_table_is_that_of_5_7(topology: FilesystemTopology, tmp_path: Path) -> None:
    topology.bind("fx", "fk", "", "fq")
    topology.bind("fx", "fk2", "", "fq2")
    topology.bind("fx", "fk2", "", "fq2")
    table = tmp_path / "control" / "fx.exchange"
    assert table.read_text() == '[["fk2", "", "fq2"], ["fk", "", "fq"]]'
    topology.unbind("fx", "fk2", "", "fq2")
    assert table.read_text() == '[["fk", "", "fq"]]'
