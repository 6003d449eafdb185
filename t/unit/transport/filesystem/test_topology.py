"""Exchange tables as files."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from amqp.exceptions import AMQPError, ChannelError

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


def test_a_table_that_can_not_grow_stays_as_it_was(topology: FilesystemTopology) -> None:
    for number in range(200):
        topology.bind("x", f"key{number}", "", f"queue{number}")
    bound = list(topology.bindings("x"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(AMQPError):
            topology.bind("x", "one more", "", "q")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(topology.bindings("x")) == bound
    topology.unbind("x", "key7", "", "queue7")
    assert [row for row in bound if row[2] != "queue7"] == list(topology.bindings("x"))


def test_all_bindings_of_a_queue_go_with_it(topology: FilesystemTopology) -> None:
    for exchange in "xy":
        topology.bind(exchange, "k", "", "q")
        topology.bind(exchange, "k", "", "other")
    topology.forget_queue("q")
    for exchange in "xy":
        assert list(topology.bindings(exchange)) == [("k", "", "other")]
