"""Long polls in the background, without a server: what is asked for, and when."""

from __future__ import annotations

import itertools
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest

from kombu.transport.patience import Patience
from kombu.transport.polling import MOST_POLLS, LongPolls
from kombu.transport.virtual.store import Claim


def claim(queue: str) -> Claim:
    return Claim(queue, {"body": "x"}, None)


class Server:
    """Answers polls when told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.answers: dict[str, list[Claim]] = {}
        self.open = threading.Event()
        self.open.set()
        self.returned: list[Claim] = []
        self.answered = 0

    def receive(self, queue: str, limit: int, wait: int) -> list[Claim]:
        self.asked.append((queue, wait))
        self.open.wait(10)
        self.answered += 1
        return self.answers.pop(queue, [])


def until(condition: Any) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def polls(server: Server) -> Any:
    polls = LongPolls(server.receive, 10, 5, 10, server.returned.extend)
    yield polls
    polls.close()


def test_polls_are_long_while_nothing_comes(server: Server, polls: LongPolls) -> None:
    until(lambda: polls.start(["q"], 1, wait_seconds=1) or len(server.asked) == 3)
    assert [wait for _, wait in server.asked] == [1, 10, 10]
    server.answers["q"] = [claim("q")]
    assert polls.wait(["q"], 1, timeout=5)
    assert len(polls.take("q", 1)) == 1
    server.asked.clear()
    until(lambda: polls.start(["q"], 1, wait_seconds=1) or server.asked)
    assert server.asked[0] == ("q", 1)


def test_with_more_queues_than_polls_none_waits_for_a_long_one(
    server: Server, polls: LongPolls
) -> None:
    server.open.clear()
    polls.start([f"q{number}" for number in range(MOST_POLLS + 1)], 1)
    server.open.set()
    until(lambda: len(server.asked) == MOST_POLLS + 1)
    assert {wait for _, wait in server.asked} == {1}


def test_a_server_that_does_not_wait_is_asked_less_and_less(
    server: Server, polls: LongPolls
) -> None:
    assert not polls.wait(["q"], 1, timeout=1)
    assert len(server.asked) < 10
    server.answers["q"] = [claim("q")]
    assert polls.wait(["q"], 1, timeout=5)


def test_what_comes_after_closing_is_given_back(server: Server, polls: LongPolls) -> None:
    server.open.clear()
    server.answers["q"] = [claim("q")]
    polls.start(["q"], 1)
    until(lambda: server.asked)
    polls.close()
    server.open.set()
    until(lambda: server.returned)
    assert polls.take("q", 1) == []


def test_what_comes_of_a_deleted_queue_is_given_back(server: Server, polls: LongPolls) -> None:
    server.open.clear()
    server.answers["q"] = [claim("q")]
    polls.start(["q"], 1)
    until(lambda: server.asked)
    polls.forget("q")
    server.open.set()
    until(lambda: server.returned)
    assert polls.take("q", 1) == []
    assert not polls.was_just_empty("q")


def test_a_queue_among_thirty_waits_for_no_other(server: Server, polls: LongPolls) -> None:
    server.open.clear()
    names = [f"q{number}" for number in range(30)]
    polls.start(names, 10)
    until(lambda: {queue for queue, _ in server.asked} == set(names))
    server.open.set()


def test_more_queues_than_workers_have_their_turn(server: Server, polls: LongPolls) -> None:
    names = [f"q{number}" for number in range(3 * MOST_POLLS)]
    polls.start(names, 1)
    until(lambda: server.answered == len(names))
    assert {name for name, _ in server.asked} == set(names)
    server.open.clear()
    server.asked.clear()
    some = set(names[:MOST_POLLS])  # none of the workers is taken for idle while it is not
    until(lambda: polls.start(sorted(some), 1) or {name for name, _ in server.asked} == some)
    server.open.set()


def test_a_poll_under_way_keeps_no_process() -> None:
    script = """
        import time
        from kombu.transport.polling import LongPolls
        polls = LongPolls(lambda *_: time.sleep(30) or [], 10, 5, 10, print)
        polls.start(["q"], 1)
        polls.close()
    """
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=20)
    assert time.monotonic() - begun < 15


def test_a_forked_child_is_told_and_does_not_wait_for_ever() -> None:
    script = """
        import os, time
        from amqp.exceptions import RecoverableConnectionError
        from kombu.transport.polling import LongPolls

        polls = LongPolls(lambda *given: time.sleep(0.1) or [], 1, 1, 1, print)
        polls.wait(["q"], 1, timeout=0.2)
        child = os.fork()
        if not child:
            try:
                polls.wait(["q"], 1, timeout=5)
            except RecoverableConnectionError:
                os._exit(0)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=20)


class TestPatience:
    """A long poll made of receives that come back at once."""

    def test_pauses_grow_and_end_with_the_first_message(self) -> None:
        answers: list[list[Claim]] = [[], [], [], [claim("q")]]
        asked: list[float] = []

        def receive(queue: str, limit: int) -> list[Claim]:
            asked.append(time.monotonic())
            return answers.pop(0)

        assert len(Patience(receive, lambda: 1.0)("q", 5, 10)) == 1
        pauses = [after - before for before, after in itertools.pairwise(asked)]
        assert pauses[2] >= 2 * 0.001
        assert sum(pauses) < 1

    def test_time_is_up(self) -> None:
        patience = Patience(lambda queue, limit: [], lambda: 0.01)
        began = time.monotonic()
        assert patience("q", 1, 0.1) == []
        assert 0.1 <= time.monotonic() - began < 1

    @pytest.mark.parametrize("what", ["ring", "close"])
    def test_a_pause_ends_early(self, what: str) -> None:
        claims: list[Claim] = []
        asked = threading.Event()

        def receive(queue: str, limit: int) -> list[Claim]:
            asked.set()
            return claims[:]

        patience = Patience(receive, lambda: 60.0, shortest=60.0)
        thread = threading.Thread(target=lambda: patience("q", 1, 60), daemon=True)
        thread.start()
        assert asked.wait(5)
        claims.append(claim("q"))
        getattr(patience, what)()
        thread.join(5)
        assert not thread.is_alive()
