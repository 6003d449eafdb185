"""What wakes a waiting consumer."""

from __future__ import annotations

from collections.abc import Sequence

from kombu.transport.waking import Source, Waker


class Silence(Source):
    """A backend that never has news."""

    def look(self, queues: Sequence[str]) -> bool:
        return False


def test_a_ring_does_not_forget_what_is_due() -> None:
    waker = Waker(Silence())
    waker.ring_in(0.05)
    waker.ring()
    assert waker.wait(["q"], 0)
    assert waker.wait(["q"], 5)


def test_what_was_due_is_due_once() -> None:
    waker = Waker(Silence())
    waker.ring_in(0.0)
    assert waker.wait(["q"], 5)
    assert not waker.wait(["q"], 0)


def test_an_interruption_ends_one_wait() -> None:
    waker = Waker(Silence())
    waker.interrupt()
    assert not waker.wait(["q"], 5)
    waker.ring()
    assert waker.wait(["q"], 5)
