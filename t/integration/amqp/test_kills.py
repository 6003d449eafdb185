"""Nothing that was confirmed is lost while the broker, or a queue's leader, is killed under load.

KOMBU_TEST_KILLS says how often; docs/operations.rst tells of 20 and 10.
"""

from __future__ import annotations

import os
from functools import partial

import pytest

from kombu import Queue
from t.integration.amqp.load import Load

KILLS = int(os.environ.get("KOMBU_TEST_KILLS", "2"))
LEADER_KILLS = int(os.environ.get("KOMBU_TEST_LEADER_KILLS", "1"))

QUORUM = {"x-queue-type": "quorum"}


@pytest.mark.server("rabbitmq")
@pytest.mark.timeout(90 + 30 * KILLS)
@pytest.mark.parametrize("arguments", [{}, QUORUM], ids=["classic", "quorum"])
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


@pytest.mark.server("rabbitmq-cluster")
@pytest.mark.timeout(180 + 60 * LEADER_KILLS)
def test_confirmed_messages_survive_the_leader(connect, cluster, name, capsys):
    queue = Queue(name, durable=True, queue_arguments=QUORUM)
    killed = []
    with Load(partial(connect, cluster.url), queue) as load:
        for _ in range(LEADER_KILLS):
            load.go_on()
            leader = cluster.leader(name)
            with cluster.without(leader):
                load.go_on()
            cluster.all_in(name)
            killed.append(leader)
        load.go_on()
    with capsys.disabled():
        print(f" killed {' '.join(killed)}: {load}", end=" ")
    assert not load.lost
