"""What Celery's loop and its tests rely on in the hub."""

from __future__ import annotations

import os
import threading
import time
from queue import Empty

import pytest
from vine import promise

from kombu.asynchronous.hub import Hub


@pytest.fixture
def hub():
    hub = Hub()
    yield hub
    hub.close()


def test_a_promise_that_waits_is_called_once(hub: Hub) -> None:
    calls: list[int] = []
    flush = promise(calls.append, (1,))
    hub.call_soon(flush)
    hub.call_soon(flush)
    next(hub.loop)
    assert calls == [1]


def test_a_reader_may_say_that_there_is_nothing(hub: Hub) -> None:
    receiver, sender = os.pipe()
    calls: list[int] = []

    def read() -> None:
        calls.append(len(os.read(receiver, 1)))
        raise Empty

    hub.add_reader(receiver, read)
    os.write(sender, b"x")
    next(hub.loop)
    assert calls == [1] and receiver in hub.readers
    hub.remove(receiver)
    os.close(receiver)
    os.close(sender)


def test_a_loop_that_watches_nothing_is_woken_by_another_thread(hub: Hub) -> None:
    called = threading.Event()
    hub.timer.call_after(5, print, ())
    thread = threading.Timer(0.1, lambda: hub.call_soon(called.set))
    begin = time.monotonic()
    thread.start()
    while not called.is_set():
        next(hub.loop)
    assert time.monotonic() - begin < 2


def test_a_closed_poller_ends_the_loop(hub: Hub) -> None:
    class Closed:
        def register(self, *args: object) -> None: ...

        unregister = close = register

        def poll(self, timeout: float) -> list[tuple[int, int]]:
            raise ValueError("closed")

    receiver, sender = os.pipe()
    hub.poller = Closed()
    hub.add_reader(receiver, print)
    with pytest.raises(StopIteration):
        next(hub.create_loop())
    os.close(receiver)
    os.close(sender)
