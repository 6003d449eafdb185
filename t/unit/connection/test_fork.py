"""A forked child leaves its parent's connections alone."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from kombu import Connection
from kombu.pools import ProducerPool
from kombu.utils import forking

from .scripted import Script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")


def in_child(work: Callable[[], bool]) -> bool:
    """Whether ``work`` returns true in a forked child."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_child_connects_anew_and_closes_nothing_of_its_parent() -> None:
    script = Script()
    connection = script.connection()
    link = connection.connect()
    channel = connection.default_channel

    def child() -> bool:
        untouched = link.connected and not channel.closed
        fresh = not connection.connected and connection.connect() is not link
        return untouched and fresh and link.connected and script.abandoned == [link]

    assert in_child(child)
    assert connection.connected
    assert connection.default_channel is channel
    assert script.abandoned == []


def test_lock_that_is_held_at_the_fork_does_not_block_the_child() -> None:
    connection = Script().connection()
    with connection._lock:
        assert in_child(lambda: bool(connection.connect()))


def test_pools_of_a_child_are_empty() -> None:
    script = Script()
    pool = script.connection().Pool(2)
    held = pool.acquire()
    link = held.connect()
    pool.acquire().release()

    def child() -> bool:
        first, second = pool.acquire(), pool.acquire()
        held.release()  # acquired before the fork: belongs to nobody here
        return first is not held and second is not held and link.connected

    assert in_child(child)
    held.release()
    assert pool.acquire() is held


def test_producers_of_a_child_have_connections_of_their_own() -> None:
    pool = ProducerPool(Connection("memory://").Pool(1), limit=1)
    with pool.acquire() as producer:
        connection = producer.connection

    def child() -> bool:
        with pool.acquire() as own:
            return own.connection is not connection

    assert in_child(child)


def test_one_that_can_not_let_go_keeps_no_other() -> None:
    let_go: list[object] = []

    class Holder:
        def after_fork_in_child(self) -> None:
            let_go.append(self)

    class Broken:
        def after_fork_in_child(self) -> None:
            raise OSError("gone")

    holders = [each() for _ in range(4) for each in (Holder, Broken)]
    for holder in holders:
        forking.register(holder)
    assert in_child(lambda: len(let_go) == 4)
