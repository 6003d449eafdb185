"""Publishing to Kafka without a broker: nobody waits longer than told."""

from __future__ import annotations

import threading
import time

import pytest
from amqp.exceptions import RecoverableConnectionError
from confluent_kafka import Producer

from kombu.transport.confluentkafka import sending
from kombu.transport.confluentkafka.sending import Outgoing, Sender


def test_who_waits_for_another_to_publish_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_GRACE", 0.0)
    entered, leave = threading.Event(), threading.Event()

    def make() -> Producer:
        entered.set()
        leave.wait(10)
        return Producer({"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": 100})

    sender = Sender(make, 0.2)
    first = threading.Thread(target=sender.send, args=([Outgoing("topic", b"1")],))
    first.start()
    try:
        assert entered.wait(10)
        start = time.monotonic()
        (error,) = sender.send([Outgoing("topic", b"2")]).values()
        assert isinstance(error, RecoverableConnectionError)
        assert time.monotonic() - start < 5
    finally:
        leave.set()
        first.join(10)


def test_a_closed_sender_makes_no_producer() -> None:
    sender = Sender(lambda: pytest.fail("made a producer"), 1.0)
    sender.close()
    with pytest.raises(RecoverableConnectionError, match="closed"):
        sender.send([Outgoing("topic", b"1")])
