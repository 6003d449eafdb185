"""The broker made of folders, used by processes that are killed."""

from __future__ import annotations

import pytest

from t.faults.broker import Broker, die_holding, payloads, take


@pytest.mark.fault(13)
def test_what_a_killed_consumer_held_comes_back(folders: Broker) -> None:
    client = folders.connection()
    channel = client.channel()
    name = folders.queue(channel, "x")
    die_holding(folders, name)
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
