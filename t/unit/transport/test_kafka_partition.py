"""One Kafka partition in memory: who holds what, in which order, from when on."""

from __future__ import annotations

from typing import Any, cast

from kombu.transport.confluentkafka.marks import Commit
from kombu.transport.confluentkafka.partition import QUIET, Partition
from kombu.transport.virtual.envelope import READY_AT


def partition(start: Commit | None = None) -> Partition:
    return Partition(cast(Any, None), "topic", 0, start)


def message(text: str, ready_at: float | None = None) -> dict[str, Any]:
    return {"body": text, "properties": {} if ready_at is None else {READY_AT: ready_at}}


def read(source: Partition, *texts: str, first: int = 0) -> None:
    for offset, text in enumerate(texts, first):
        source.add(offset, message(text), 1000.0)


def take(source: Partition) -> tuple[str, Any]:
    record, holding = source.take()
    return record.message["body"], holding


def test_what_is_acked_out_of_order_is_committed_in_order() -> None:
    source = partition()
    read(source, *"abc")
    holdings = [take(source)[1] for _ in range(3)]
    source.ack(holdings[2])
    commit = source.due_commit()
    assert commit is not None
    assert (commit.offset, commit.done) == (0, ((2, 2),))
    source.ack(holdings[0])
    source.ack(holdings[1])
    assert source.due_commit() == Commit(3, (), 3)


def test_what_is_released_comes_first_again_and_is_marked() -> None:
    source = partition()
    read(source, *"abc")
    held = [take(source)[1] for _ in range(2)]
    assert source.release(held[1])
    assert source.release(held[0])
    order = [source.take()[0] for _ in range(3)]
    assert [each.message["body"] for each in order] == ["a", "b", "c"]
    assert [each.redelivered for each in order] == [True, True, False]
    assert [each.deliveries for each in order] == [1, 1, 0]


def test_a_holding_settles_once_and_an_old_one_not_the_new() -> None:
    source = partition()
    read(source, "a")
    old = take(source)[1]
    source.release(old)
    new = take(source)[1]
    source.ack(old)
    assert not source.release(old)
    assert source.due_commit() == Commit(0, (), 1)
    source.ack(new)
    assert source.due_commit() == Commit(1, (), 1)


def test_what_was_lost_settles_nothing() -> None:
    source = partition()
    read(source, "a", "b")
    holding = take(source)[1]
    source.lose()
    source.ack(holding)
    assert not source.release(holding)
    assert source.ready == 0
    commit = source.due_commit()
    assert commit is not None
    assert commit.offset == 0


def test_a_delayed_message_holds_nothing_up_but_the_commit() -> None:
    source = partition()
    source.add(0, message("later", ready_at=2000.0), 1000.0)
    source.add(1, message("now"), 1000.0)
    assert source.wake(1500.0) == 2000.0
    text, holding = take(source)
    assert text == "now"
    source.ack(holding)
    commit = source.due_commit()
    assert commit is not None
    assert (commit.offset, commit.done) == (0, ((1, 1),))
    source.note_end(2, 1500.0)
    source.wake(2000.0)
    assert take(source)[0] == "later"


def test_what_was_published_before_a_delay_ended_comes_before_it() -> None:
    source = partition()
    source.add(0, message("delayed", ready_at=1001.0), 1000.0)
    source.wake(5000.0)
    assert source.ready == 0, "more may follow that was published earlier"
    source.add(1, message("earlier"), 1000.5)
    source.add(2, message("after"), 1002.0)
    source.wake(5000.0)
    assert [take(source)[0] for _ in range(3)] == ["earlier", "delayed", "after"]


def test_at_the_end_of_the_log_a_delay_ends_with_its_time() -> None:
    source = partition()
    source.add(0, message("delayed", ready_at=1001.0), 1000.0)
    source.note_end(1, 1000.0)
    source.wake(1001.0 + QUIET)
    assert source.ready == 1


def test_a_purge_drops_what_is_ready_and_unread_and_spares_what_is_held() -> None:
    source = partition()
    read(source, *"abcd")
    holding = take(source)[1]
    assert source.purge(10, 1000.0) == 9
    assert source.ready == 0
    source.add(7, message("read before the seek took hold"), 1000.0)
    assert source.ready == 0
    source.release(holding)
    text, again = take(source)
    assert text == "a"
    source.ack(again)
    commit = source.due_commit()
    assert commit is not None
    assert commit.offset == 10


def test_a_topic_made_anew_is_read_from_its_beginning() -> None:
    source = partition(Commit(50))
    read(source, "a", "b")
    assert source.ready == 2
    commit = source.due_commit()
    assert commit is not None
    assert commit.offset == 0


def test_what_is_no_message_is_passed_over() -> None:
    source = partition()
    source.add(0, None, 1000.0)
    source.add(1, message("a"), 1000.0)
    commit = source.due_commit()
    assert commit is not None
    assert commit.offset == 1


def test_a_topic_made_anew_while_it_is_read_is_read_from_its_beginning() -> None:
    source = partition()
    read(source, *"abcd")
    old = [take(source)[1] for _ in range(2)]
    read(source, "new", "newer")
    assert [take(source)[0] for _ in range(2)] == ["new", "newer"]
    assert source.ready == 0
    source.ack(old[0])
    commit = source.due_commit()
    assert commit is not None
    assert (commit.offset, commit.done) == (0, ())


def test_what_could_not_be_set_aside_is_not_done() -> None:
    source = partition()
    source.add(0, None, 1000.0, aside=False)
    source.add(1, message("a"), 1000.0)
    source.ack(take(source)[1])
    commit = source.due_commit()
    assert commit is not None
    assert (commit.offset, commit.done) == (0, ((1, 1),))
