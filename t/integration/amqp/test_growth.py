"""Connections and channels that are opened and closed leave nothing behind.

KOMBU_TEST_CONNECTIONS says how many connections, with ten channels each; 1,000 were tried once.
"""

from __future__ import annotations

import os

import pytest

from kombu import Connection
from t.held import nothing_left

CONNECTIONS = int(os.environ.get("KOMBU_TEST_CONNECTIONS", "60"))

pytestmark = [pytest.mark.server("rabbitmq"), pytest.mark.timeout(60 + CONNECTIONS)]


def live(url, options, times):
    for _ in range(times):
        with Connection(url, transport_options=options) as connection:
            for _ in range(10):
                with connection.channel() as channel:
                    channel.basic_publish(channel.prepare_message("x"), routing_key="nowhere")


@pytest.mark.parametrize(
    "options", [{}, {"confirm_publish": True, "auto_heartbeat": True}], ids=["plain", "all on"]
)
def test_one_after_another(url, options):
    live(url, options, 10)
    with nothing_left():
        live(url, options, CONNECTIONS)


def test_channels_of_one_connection(connection):
    def open_and_close(times):
        for _ in range(times):
            connection.channel().close()

    open_and_close(50)
    with nothing_left():
        open_and_close(10 * CONNECTIONS)


def test_many_at_once(url):
    def together(count):
        connections = [Connection(url) for _ in range(count)]
        channels = [connection.channel() for connection in connections for _ in range(10)]
        assert all(channel.is_open for channel in channels)
        for connection in connections:
            connection.release()

    together(5)
    with nothing_left():
        together(min(CONNECTIONS, 200))
