from __future__ import annotations

import pickle
import re

from kombu.common import Broadcast
from kombu.entity import Exchange
from t.unit.recording import RecordingChannel


class TestBroadcast:
    def test_own_queue_on_a_shared_fanout_exchange(self):
        first, second = Broadcast("news"), Broadcast("news")
        assert first.name != second.name
        assert re.fullmatch(r"bcast\.[0-9a-f-]{36}", first.name)
        assert first.exchange == second.exchange == Exchange("news", "fanout")
        assert (first.alias, first.auto_delete, first.durable) == ("news", True, True)

    def test_name_given(self):
        assert Broadcast("news", queue="mine").name == "mine"
        assert re.fullmatch(r"mine\.[0-9a-f-]{36}", Broadcast(queue="mine", unique=True).name)

    def test_keeps_its_name_when_bound_and_pickled(self):
        broadcast = Broadcast("news", unique=True, alias="paper", auto_delete=False)
        for copy in (broadcast(RecordingChannel()), pickle.loads(pickle.dumps(broadcast))):
            assert copy == broadcast
            assert (copy.name, copy.alias, copy.auto_delete) == (broadcast.name, "paper", False)

    def test_exchange_given(self):
        exchange = Exchange("other", "topic")
        assert Broadcast("news", exchange=exchange).exchange == exchange
