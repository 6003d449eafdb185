"""The management interface."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from kombu.exceptions import HttpError

pytestmark = pytest.mark.server("rabbitmq")


@pytest.fixture
def port(env):
    return urlsplit(env["RABBITMQ_MANAGEMENT_URL"]).port


def test_it_shows_and_deletes_queues(connect, port, name):
    connection = connect(transport_options={"manager_port": port})
    connection.default_channel.queue_declare(name, durable=True, auto_delete=False)
    manager = connection.get_manager()
    assert manager.is_alive("/")
    assert "/" in manager.get_vhost_names()
    assert name in {binding["destination"] for binding in manager.get_bindings("/")}
    assert manager.get_queue("/", name)["durable"]
    manager.delete_queue("/", name)
    with pytest.raises(HttpError) as caught:
        manager.get_queue("/", name)
    assert caught.value.code == 404


def test_a_wrong_password(connect, port):
    connection = connect()
    connection.connect()
    manager = connection.get_manager(port=port, password="hunter2")
    with pytest.raises(HttpError) as caught:
        manager.get_overview()
    assert caught.value.code == 401
    assert "hunter2" not in f"{caught.value} {manager!r}"


def test_nobody_listens(connect):
    connection = connect()
    connection.connect()
    with pytest.raises(OSError):
        connection.get_manager(port=1).get_overview()
