"""How far a Kafka partition is done: nothing unacknowledged is ever committed past."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from kombu.transport.confluentkafka.marks import LONGEST_METADATA, Commit, Marks

#: Offsets as a log may have them: rising, with holes where records were compacted away.
logs = st.lists(st.integers(0, 80), min_size=1, max_size=40, unique=True).map(sorted)


def consume(marks: Marks, log: list[int]) -> list[int]:
    return [offset for offset in log if marks.fetched(offset)]


@given(logs, st.data())
def test_no_commit_past_what_is_not_acknowledged(log: list[int], data: st.DataObject) -> None:
    marks = Marks()
    delivered = consume(marks, log)
    assert delivered == log
    acked: set[int] = set()
    for offset in data.draw(st.permutations(delivered)):
        marks.done(offset)
        acked.add(offset)
        commit = marks.commit()
        assert commit is not None
        assert all(each in acked for each in log if each < commit.offset)
        for first, last in commit.done:
            assert all(each in acked for each in log if first <= each <= last)
    assert marks.commit() == Commit(log[-1] + 1)


@given(logs, st.lists(st.sets(st.integers(0, 80)), min_size=1, max_size=4), st.integers(0, 40))
def test_each_next_owner_is_given_what_is_left_and_no_more(
    log: list[int], rounds: list[set[int]], read: int
) -> None:
    left = list(log)
    commit: Commit | None = None
    for number, acks in enumerate(rounds):
        marks = Marks(commit)
        start = 0 if commit is None else commit.offset
        # The last owner reads to the end, others may come only a part of the way.
        window = [offset for offset in log if offset >= start]
        window = window if number == len(rounds) - 1 else window[:read]
        given_out = consume(marks, window)
        assert given_out == [offset for offset in left if offset in window]
        for offset in acks & set(given_out):
            marks.done(offset)
            left.remove(offset)
        made = marks.commit()
        if made is not None:
            commit = Commit.read(made.offset, made.metadata)
            assert commit.done == made.done


@given(logs)
def test_an_offset_read_again_is_not_delivered_again(log: list[int]) -> None:
    marks = Marks()
    consume(marks, log)
    assert consume(marks, log) == []


@given(st.integers(0, 50), st.sets(st.integers(0, 49)), st.integers(1, 30))
def test_a_purge_spares_what_is_held(read: int, acks: set[int], more: int) -> None:
    marks = Marks(Commit(0))
    held = set(consume(marks, list(range(read))))
    for offset in acks & held:
        marks.done(offset)
        held.discard(offset)
    marks.skip_to(read + more)
    commit = marks.commit()
    assert commit is not None
    again = consume(Marks(Commit.read(commit.offset, commit.metadata)), list(range(read + more)))
    assert set(again) == held


def test_what_was_given_out_is_known_to_the_next_owner() -> None:
    marks = Marks()
    consume(marks, [0, 1, 2])
    assert not marks.give_out(0)
    assert not marks.give_out(1)
    made = marks.commit()
    assert made is not None
    following = Marks(Commit.read(made.offset, made.metadata))
    consume(following, [0, 1, 2])
    assert [following.give_out(offset) for offset in (0, 1, 2)] == [True, True, False]


def test_metadata_keeps_within_what_brokers_take() -> None:
    done = tuple((offset, offset) for offset in range(1_000_000, 1_010_000, 2))
    made = Commit(5, done, 2_000_000)
    assert len(made.metadata) <= LONGEST_METADATA
    kept = Commit.read(5, made.metadata)
    assert len(kept.done) > 100
    assert kept.done == done[: len(kept.done)]


def test_foreign_metadata_counts_as_none() -> None:
    for text in (None, "", "theirs", "kombu1:", "kombu1:[1,2]", 'kombu1:{"a":1}', "kombu1:[null]"):
        assert Commit.read(7, text) == Commit(7)


def test_one_that_is_held_costs_no_memory_for_those_that_follow() -> None:
    marks = Marks()
    tracemalloc.start()
    try:
        for offset in range(0, 100_000, 2):  # with holes, as transactions leave them
            marks.fetched(offset)
            if offset:
                marks.done(offset)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert marks.commit() == Commit(0, ((1, 99_998),))
    assert used < 20_000
