"""Long polls that nobody answers."""

from __future__ import annotations

import os
import socket

from kombu.transport.http import Server
from kombu.transport.keyvalue.longpoll import LongPoll


def test_a_dead_link_is_noticed_within_a_minute() -> None:
    """By default systems begin to ask after two hours: so long a consumer would hear nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        poll = LongPoll(Server("127.0.0.1", listening.getsockname()[1], {}, 5, 5))
        poll.begin("/")
        with socket.socket(fileno=os.dup(poll.fileno())) as line:
            idle, interval, count = (
                line.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
        poll.close()
    assert idle + interval * count <= 60
