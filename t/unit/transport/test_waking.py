"""What wakes a waiting consumer."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from kombu.transport.sweeping import Sweep
from kombu.transport.waking import Source, Waker


class Silence(Source):
    """A backend that never has news."""

    def look(self, queues: Sequence[str]) -> bool:
        return False


def waker_of(*pauses: float) -> tuple[Waker, list[Sweep]]:
    """A waker for sweeps that are due in so many seconds."""
    sweeps = [Sweep() for _ in pauses]
    for sweep, pause in zip(sweeps, pauses, strict=True):
        sweep.run(lambda pause=pause: pause)  # type: ignore[misc]
    return Waker(Silence(), *sweeps), sweeps


def test_a_ring_does_not_forget_what_is_due() -> None:
    waker, _ = waker_of(0.05)
    waker.ring()
    assert waker.wait(["q"], 0)
    assert waker.wait(["q"], 5)


def test_who_waits_is_woken_for_each_sweep_once() -> None:
    waker, sweeps = waker_of(0.0, 0.05)
    assert waker.wait(["q"], 5)
    assert not waker.wait(["q"], 0)
    assert waker.wait(["q"], 5)
    assert not waker.wait(["q"], 0)
    assert all(sweep.is_due for sweep in sweeps)


def test_a_time_that_becomes_known_meanwhile_shortens_the_wait() -> None:
    waker, (sweep,) = waker_of(60.0)
    threading.Timer(0.05, sweep.within, [0.0]).start()
    assert waker.wait(["q"], 5)


def test_a_sweep_in_another_thread_leaves_who_waits_asleep() -> None:
    waker, (sweep,) = waker_of(0.0)
    entered, leave = threading.Event(), threading.Event()

    def work() -> float:
        entered.set()
        leave.wait(5)
        return 60.0

    sweeping = threading.Thread(target=sweep.run, args=[work])
    sweeping.start()
    entered.wait(5)
    assert not waker.wait(["q"], 0.05)
    sweep.within(0.0)  # known after the work has looked
    leave.set()
    sweeping.join()
    assert waker.wait(["q"], 5)


def test_a_source_rings_by_itself() -> None:
    source = Silence()
    waker = Waker(source)
    threading.Timer(0.05, source.ring).start()
    assert waker.wait(["q"], 5)


def test_an_interruption_ends_one_wait() -> None:
    waker = Waker(Silence())
    waker.interrupt()
    assert not waker.wait(["q"], 5)
    waker.ring()
    assert waker.wait(["q"], 5)
