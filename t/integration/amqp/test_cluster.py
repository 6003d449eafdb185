"""Three nodes: nothing that was confirmed is lost when a queue's leader is killed under load.

KOMBU_TEST_LEADER_KILLS says how often; 10 were tried once.
"""

from __future__ import annotations

import os
from functools import partial

import pytest
from amqp.exceptions import ConsumerCancelled

from kombu import Queue
from t.integration.amqp.load import Load

LEADER_KILLS = int(os.environ.get("KOMBU_TEST_LEADER_KILLS", "1"))

QUORUM = {"x-queue-type": "quorum"}

pytestmark = [
    pytest.mark.server("rabbitmq-cluster"),
    pytest.mark.timeout(180 + 60 * LEADER_KILLS),
]


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


def test_a_consumer_is_told_when_its_queues_node_dies(connect, cluster, name):
    connect(cluster.urls["r3"]).default_channel.queue_declare(
        name, durable=True, auto_delete=False, arguments={"x-queue-type": "classic"}
    )
    consuming = connect(cluster.urls["r2"])
    consuming.default_channel.basic_consume(name, callback=print)
    with cluster.without("r3"), pytest.raises(ConsumerCancelled) as caught:
        consuming.drain_events(timeout=30)
    assert isinstance(caught.value, consuming.recoverable_connection_errors)
    assert consuming.connected
    consuming.channel().queue_delete(name)
