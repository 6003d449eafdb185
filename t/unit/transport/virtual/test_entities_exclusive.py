"""Exclusive queues: AMQP's rule, and what 5.7's users rely on."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from amqp.exceptions import ResourceLocked

from kombu import Connection, Queue
from kombu.transport.virtual.errors import ProtocolWarning


@pytest.fixture
def vhost() -> Iterator[str]:
    from kombu.transport.memory import reset

    name = uuid4().hex
    yield name
    reset(name)


def connect(vhost: str, **options: object) -> Connection:
    return Connection(f"memory:///{vhost}", transport_options=options)


def test_a_second_declarer_takes_the_queue_over_with_a_warning(vhost: str) -> None:
    with connect(vhost) as old, connect(vhost) as new:
        Queue("q", exclusive=True)(old.default_channel).declare()
        with pytest.warns(ProtocolWarning, match="exclusive"):
            Queue("q", exclusive=True)(new.default_channel).declare()
        old.close()
        assert new.default_channel.queue_declare("q", passive=True).queue == "q"
    with connect(vhost) as later:
        assert "q" not in later.default_channel.queues


def test_strict_refuses(vhost: str) -> None:
    with connect(vhost) as old, connect(vhost, strict=True) as new:
        Queue("q", exclusive=True)(old.default_channel).declare()
        with pytest.raises(ResourceLocked):
            Queue("q", exclusive=True)(new.default_channel).declare()
