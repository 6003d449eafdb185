"""SoftLayer Message Queue against a stand-in of its API."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from kombu import Connection, Queue
from kombu.transport.SLMQ.client import queue_name
from t.services.pool import Servers


def test_names_are_those_of_published_peers() -> None:
    names = ("a.b", "a-b", "a/b", "A_b", "celery@host.celery.pidbox", "x y", "é")
    assert [queue_name(name) for name in names] == [
        "a_b",
        "a_b",
        "a_b",
        "A_b",
        "celery_host_celery_pidbox",
        "x y",
        "é",
    ]
    assert queue_name("q.1", "p-") == "p_q_1"


def test_without_a_server_it_says_that_the_service_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SLMQ_HOST", raising=False)
    connection = Connection("slmq://user:secret@")
    with pytest.raises(connection.connection_errors, match="was shut down") as caught:
        connection.connect()
    assert "secret" not in str(caught.value)
    assert not isinstance(caught.value, connection.recoverable_connection_errors)


@pytest.mark.server("slmq")
class TestStandIn:
    def test_server_and_account_by_environment(
        self, servers: Servers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host, _, port = servers.env("slmq")["SLMQ_ENDPOINT"].rpartition("/")[2].partition(":")
        environment = {
            "SLMQ_HOST": host,
            "SLMQ_PORT": port,
            "SLMQ_ACCOUNT": "abc",
            "SL_USERNAME": "user",
            "SL_API_KEY": "key",
            "SLMQ_SECURE": "0",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        name = f"q-{uuid4().hex[:8]}"
        with Connection("slmq://") as connection:
            connection.SimpleQueue(name).put("hello")
        url = f"slmq://user:key@{host}:{port}/abc"
        with Connection(url, transport_options={"secure": False}) as connection:
            message = connection.SimpleQueue(name).get(timeout=5)
            assert message.payload == "hello"
            assert message.delivery_info["slmq_queue_name"] == name.replace("-", "_")
            assert message.delivery_info["slmq_message_id"]
            message.ack()

    def test_what_is_never_acknowledged_comes_back_after_the_timeout(
        self, servers: Servers
    ) -> None:
        options = {"secure": False, "visibility_timeout": 1}
        url = servers.env("slmq")["SLMQ_URL"]
        name = f"q-{uuid4().hex[:8]}"
        with (
            Connection(url, transport_options=options) as dead,
            Connection(url, transport_options=options) as living,
        ):
            dead.Producer().publish("x", routing_key=name, declare=[Queue(name)])
            assert Queue(name)(dead.default_channel).get().payload == "x"
            queue = Queue(name)(living.default_channel)
            assert queue.get() is None
            deadline = time.monotonic() + 5
            while (message := queue.get()) is None and time.monotonic() < deadline:
                time.sleep(0.05)
            assert message is not None
            message.ack()
