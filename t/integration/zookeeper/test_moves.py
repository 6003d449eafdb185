"""Claims and settlements go in groups; a node that is gone fails none of the others."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from kazoo.client import KazooClient

from kombu.transport.zookeeper.moves import Move, Moves
from kombu.transport.zookeeper.paths import Paths
from kombu.transport.zookeeper.session import Session
from t.services.pool import Servers


@pytest.fixture
def session(servers: Servers) -> Iterator[Session]:
    session = Session(
        KazooClient(servers.env("zookeeper")["ZOOKEEPER_HOSTS"], timeout=4),
        Paths(f"/moves-{uuid4().hex[:8]}"),
        limit=10,
    )
    session.start(connect_timeout=10)
    yield session
    session.stop()


@pytest.mark.server("zookeeper")
def test_what_is_gone_fails_alone(session: Session) -> None:
    root = session.paths.home
    for number in range(5):
        session.create(f"{root}/from-{number}", b"x")
    session.call(session.client.delete_async(f"{root}/from-2"))
    moves = Moves(session)
    whole = [Move(f"{root}/from-{number}", f"{root}/to-{number}", b"x") for number in range(5)]
    assert moves.carry_out(whole) == [True, True, False, True, True]
    assert session.read(f"{root}/to-2") is None
    assert session.read(f"{root}/to-4") == b"x"
    removed = [Move(f"{root}/to-{number}", None, b"") for number in (0, 2, 4)]
    assert moves.carry_out(removed) == [True, False, True]
