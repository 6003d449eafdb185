"""Nothing that was confirmed is lost while the broker is killed under load.

KOMBU_TEST_KILLS says how often; 20 were tried once.
"""

from __future__ import annotations

import os
from functools import partial

import pytest

from kombu import Queue
from t.integration.amqp.load import Load

KILLS = int(os.environ.get("KOMBU_TEST_KILLS", "2"))


@pytest.mark.server("rabbitmq")
@pytest.mark.timeout(90 + 30 * KILLS)
@pytest.mark.parametrize("arguments", [{}, {"x-queue-type": "quorum"}], ids=["classic", "quorum"])
def test_confirmed_messages_survive(connect, broker, name, arguments, capsys):
    queue = Queue(name, durable=True, queue_arguments=arguments)
    with Load(partial(connect, broker.url), queue) as load:
        for _ in range(KILLS):
            load.go_on()
            broker.restart()
        load.go_on()
    with capsys.disabled():
        print(f" {KILLS} kills, {load}", end=" ")
    assert not load.lost
