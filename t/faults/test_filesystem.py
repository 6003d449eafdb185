"""The broker made of folders, used by processes that are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from typing import Any

import pytest

from kombu import Connection
from t.faults.broker import Broker, consume, drain, payloads, take


def hold(url: str, options: dict[str, Any], name: str) -> None:
    """Take a message and die with it."""
    client = Connection(url, transport_options=options)
    _, got = consume(client.channel(), name)
    drain(client, lambda: got, limit=20)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.fault(13)
def test_what_a_killed_consumer_held_comes_back(folders: Broker) -> None:
    client = folders.connection()
    channel = client.channel()
    name = folders.queue(channel, "x")
    process = multiprocessing.get_context("spawn").Process(
        target=hold, args=(folders.url, folders.options, name)
    )
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert payloads(take(channel, name, 1)) == ["x"]


@pytest.mark.fault(13)
def test_what_a_closed_consumer_held_comes_back(folders: Broker) -> None:
    # Green there: an orderly close restores; only a kill loses.
    client = folders.connection()
    channel = client.channel()
    name = folders.queue(channel, "x")
    assert payloads(take(channel, name, 1)) == ["x"]
    client.close()
    assert payloads(take(folders.connection().channel(), name, 1)) == ["x"]
