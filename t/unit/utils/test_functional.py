"""Caches, laziness, ranges, retrying."""

from __future__ import annotations

import copy
import pickle
from itertools import islice
from threading import Thread
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.utils import functional
from kombu.utils.functional import (
    ChannelPromise,
    LRUCache,
    accepts_argument,
    dictfilter,
    fxrange,
    fxrangemax,
    is_list,
    lazy,
    maybe_evaluate,
    maybe_list,
    memoize,
    reprcall,
    reprkwargs,
    retry_over_time,
    shufflecycle,
)


class Flaky:
    """Fails a number of times, then returns what it was called with."""

    def __init__(self, failures):
        self.failures = failures
        self.calls = 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls <= self.failures:
            raise KeyError(self.calls)
        return args, kwargs


@pytest.fixture
def naps(monkeypatch):
    """Naps taken, without taking them."""
    taken = []
    monkeypatch.setattr(functional, "sleep", taken.append)
    return taken


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(functional, "sleep", self.sleep)
        monkeypatch.setattr(functional, "monotonic", lambda: self.now)

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_retry_until_it_works(naps):
    flaky = Flaky(3)
    assert retry_over_time(flaky, KeyError, [1], {"a": 2}) == ((1,), {"a": 2})
    assert flaky.calls == 4
    assert sum(naps) == 2 + 4 + 6
    assert max(naps) <= 1


def test_other_errors_are_raised_at_once(naps):
    flaky = Flaky(1)
    with pytest.raises(KeyError):
        retry_over_time(flaky, (ValueError, OSError))
    assert (flaky.calls, naps) == (1, [])


@pytest.mark.parametrize(("max_retries", "calls"), [(0, 1), (-1, 1), (1, 2), (2, 3)])
def test_retries_are_limited(naps, max_retries, calls):
    flaky = Flaky(99)
    with pytest.raises(KeyError, match=str(calls)):
        retry_over_time(flaky, KeyError, max_retries=max_retries)
    assert flaky.calls == calls


def test_waits_grow_up_to_a_limit(naps):
    retry_over_time(Flaky(6), KeyError, interval_start=0, interval_step=0.2, interval_max=0.5)
    assert naps == pytest.approx([0.2, 0.4, 0.5, 0.5, 0.5])


def test_errback_says_how_long_to_wait(naps):
    seen = []

    def errback(exc, waits, retries):
        seen.append((exc.args[0], retries))
        return 0.25 if retries else None

    retry_over_time(Flaky(2), KeyError, errback=errback, interval_start=0.5)
    assert seen == [(1, 0), (2, 1)]
    assert naps == [0.5, 0.25]


def test_callback_is_called_while_waiting_and_may_end_it(naps):
    calls = []
    retry_over_time(Flaky(1), KeyError, callback=lambda: calls.append(len(naps)), interval_start=3)
    assert calls == [0, 0, 1, 2]

    def stop():
        raise OSError("asked to stop")

    with pytest.raises(OSError, match="asked to stop"):
        retry_over_time(Flaky(1), KeyError, callback=stop)


@pytest.mark.parametrize(
    ("intervals", "seen"),
    [
        ((1, 1, 2), "fail back err back fail back err back back fail back err back back fail"),
        ((0, 0, 0), "fail back err fail back err fail back err fail"),
        ((1.5, 0, 2), "fail back err back fail back err back fail back err back fail"),
    ],
)
def test_when_callback_and_errback_are_called(naps, intervals, seen):
    calls = []

    def fail():
        calls.append("fail")
        raise KeyError

    def errback(exc, waits, retries):
        calls.append("err")
        return next(waits)

    with pytest.raises(KeyError):
        retry_over_time(
            fail,
            KeyError,
            None,
            None,
            errback,
            3,
            *intervals,
            callback=lambda: calls.append("back"),
        )
    assert " ".join(calls) == seen


@pytest.mark.parametrize(("timeout", "calls"), [(1, 2), (3.5, 3), (10, 4)])
def test_timeout_is_never_slept_past(clock, timeout, calls):
    flaky = Flaky(99)
    with pytest.raises(KeyError, match=str(calls)):
        retry_over_time(flaky, KeyError, timeout=timeout)
    assert clock.now == 100 + timeout


def test_timeout_counts_the_calls(clock):
    def slow():
        clock.now += 7
        raise KeyError

    with pytest.raises(KeyError):
        retry_over_time(slow, KeyError, timeout=10)
    assert clock.now == 100 + 7 + 2 + 7


def test_timeout_in_real_time():
    start = monotonic()
    with pytest.raises(KeyError):
        retry_over_time(Flaky(99), KeyError, timeout=0.1, interval_start=30)
    assert 0.1 <= monotonic() - start < 5


def test_ranges():
    assert list(fxrange(1, 3, 0.5)) == [1.0, 1.5, 2.0, 2.5, 3.0]
    assert list(islice(fxrange(1, 2, 1, repeatlast=True), 4)) == [1.0, 2.0, 2.0, 2.0]
    assert list(islice(fxrange(), 3)) == [1.0, 2.0, 3.0]
    assert list(fxrange(3, 1)) == []


@pytest.mark.parametrize(
    ("args", "numbers"),
    [
        ((1, None, 10, 25), [1, 11]),
        ((1, 3, 1, 100), [1, 2, 3, 3, 3]),
        ((1, 50, 20, 100), [1, 21, 41]),
        ((1, 5, 2, 3), [1]),
        ((5, None, 2, 3), [5]),
    ],
)
def test_range_with_bounded_sum(args, numbers):
    assert list(islice(fxrangemax(*args), 5)) == numbers


def test_cache_forgets_what_was_used_longest_ago():
    cache = LRUCache(limit=2)
    cache["a"], cache["b"] = 1, 2
    assert cache["a"] == 1
    cache["c"] = 3
    assert list(cache) == ["a", "c"]
    cache["a"] = 4
    assert dict(cache.items()) == {"a": 4, "c": 3}
    assert cache.get("b") is None
    assert cache.popitem(last=False) == ("a", 4)


def test_cache_interface():
    cache = LRUCache(limit=3)
    cache.update({number: number for number in range(9)}, k="5")
    assert list(cache.keys()) == list(cache.iterkeys()) == [7, 8, "k"]
    assert list(cache.values()) == list(cache.itervalues()) == [7, 8, "5"]
    assert list(cache.items()) == list(cache.iteritems())
    assert cache.incr("k", 2) == 7
    assert cache["k"] == "7"
    assert cache.pop(7) == 7
    with pytest.raises(KeyError):
        cache["gone"]
    with pytest.raises(KeyError):
        cache.incr("gone")
    restored = pickle.loads(pickle.dumps(cache))
    assert (restored, restored.limit) == (cache, 3)
    restored["x"] = 1
    cache.clear()
    assert len(cache) == 0


def test_cache_without_limit():
    cache = LRUCache()
    cache.update((number, 0) for number in range(1000))
    assert len(cache) == 1000


def test_cache_may_be_written_while_iterated():
    cache = LRUCache(limit=50)

    def write():
        for number in range(20_000):
            cache[number % 100] = number

    writers = [Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        for view in (cache.items(), cache.values(), cache):
            list(view)
    for writer in writers:
        writer.join()
    assert len(cache) == 50


@given(st.integers(1, 5), st.lists(st.tuples(st.booleans(), st.integers(0, 8))))
def test_cache_against_a_model(limit, steps):
    cache, model = LRUCache(limit), {}
    for write, key in steps:
        if write:
            if key not in model and len(model) == limit:
                del model[next(iter(model))]
            cache[key] = model[key] = len(model)
        elif key in model:
            model[key] = model.pop(key)
            assert cache[key] == model[key]
        else:
            assert key not in cache
    assert list(cache.items()) == list(model.items())


def test_memoize():
    calls = []

    @memoize(maxsize=2)
    def add(left, right=0):
        calls.append((left, right))
        return left + right

    assert [add(1), add(1), add(1, right=0)] == [1, 1, 1]
    assert (add.hits, add.misses, len(calls)) == (1, 2, 2)
    assert add(5) == 5
    assert add(1) == 1
    assert len(calls) == 4
    add.clear()
    assert (add.hits, add.misses) == (0, 0)
    assert add.original_func(2, 3) == 5
    assert add.__name__ == "add"


def test_memoize_by_own_key():
    @memoize(keyfun=lambda args, kwargs: args[0]["id"])
    def fetch(row):
        return object()

    assert fetch({"id": 1}) is fetch({"id": 1})
    assert fetch({"id": 1}) is not fetch({"id": 2})


def test_memoize_does_not_hide_a_key_error():
    @memoize()
    def fail():
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        fail()


def test_lazy():
    value = lazy(int, "3")
    assert value() == value.evaluate() == 3
    assert value == 3
    assert value != 4
    assert (str(value), repr(value)) == ("3", "3")
    assert maybe_evaluate(value) == maybe_evaluate(3) == 3
    assert copy.deepcopy(value) is value
    assert pickle.loads(pickle.dumps(value)) == 3
    with pytest.raises(TypeError):
        hash(value)


def test_channel_promise():
    opened = []
    promise = ChannelPromise(lambda: opened.append(1) or "channel")
    assert repr(promise).startswith("<promise: 0x")
    assert promise() == promise() == "channel"
    assert (repr(promise), len(opened)) == ("'channel'", 1)


@pytest.mark.parametrize(
    "value", [[1], (1,), {1}, range(2), b"a", iter([1])], ids=lambda value: type(value).__name__
)
def test_lists_stay(value):
    assert is_list(value)
    assert maybe_list(value) is value


@pytest.mark.parametrize("value", ["a", {"a": 1}, 5], ids=lambda value: type(value).__name__)
def test_scalars_become_lists(value):
    assert not is_list(value)
    assert maybe_list(value) == [value]


def test_lists_by_other_rules():
    assert maybe_list(None) is None
    assert maybe_list({"a": 1}, scalars=()) == {"a": 1}
    assert maybe_list((1,), scalars=(tuple,)) == [(1,)]
    assert not is_list((1,), iters=(list,))


def test_dictfilter():
    assert dictfilter({"a": 1, "b": None}, c=None, e=0) == {"a": 1, "e": 0}
    assert dictfilter() == {}


def test_representations():
    class Broken:
        def __repr__(self):
            raise ValueError("no")

    assert reprkwargs({"a": 1, "b": "x"}) == "a=1, b='x'"
    assert reprcall("f", (1, "a"), {"k": 2}) == "f(1, 'a', k=2)"
    assert reprcall("f") == "f()"
    assert reprcall("f", (1,), {"a": 2}, sep=";") == "f(1;a=2)"
    assert "Unrepresentable" in reprcall("f", (Broken(),))


def test_accepts_argument():
    assert accepts_argument(lambda a, *, b: 0, "b")
    assert accepts_argument(LRUCache, "limit")
    assert not accepts_argument(lambda *a, **k: 0, "b")
    with pytest.raises(TypeError):
        accepts_argument(5, "x")


def test_shufflecycle():
    assert set(islice(shufflecycle("abc"), 100)) == set("abc")
