"""The small helpers: text, names, schedules, limits, containers, files, environments."""

from __future__ import annotations

import io
import pickle
import sys
from contextlib import contextmanager
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.utils import EqualityDict, compat, encoding, limits
from kombu.utils.collections import HashedSeq, eqhash
from kombu.utils.compat import coro, entrypoints, fileno, maybe_fileno, nested
from kombu.utils.div import emergency_dump_state
from kombu.utils.encoding import bytes_to_str, ensure_bytes, safe_repr, safe_str, str_to_bytes
from kombu.utils.imports import symbol_by_name
from kombu.utils.limits import TokenBucket
from kombu.utils.objects import cached_property
from kombu.utils.scheduling import (
    FairCycle,
    cycle_by_name,
    priority_cycle,
    round_robin_cycle,
    sorted_cycle,
)
from kombu.utils.text import escape_regex, fmatch_best, fmatch_iter, version_string_as_tuple
from kombu.utils.time import maybe_s_to_ms
from kombu.utils.uuid import uuid


class Empty(Exception):
    pass


class Broken:
    def __repr__(self):
        raise ValueError("no repr")


# -- text ---------------------------------------------------------------------------------------


def test_bytes_and_text():
    assert bytes_to_str(b"\xff") == "\ufffd"
    assert str_to_bytes("\u00e9") == ensure_bytes("\u00e9") == b"\xc3\xa9"
    for unchanged in (None, 5, bytearray(b"a")):
        assert bytes_to_str(unchanged) is str_to_bytes(unchanged) is unchanged


def test_representations_never_raise():
    assert safe_str(b"\xff") == "\ufffd"
    assert safe_repr("a") == "'a'"
    for render in (safe_str, safe_repr):
        assert render(Broken()).startswith("<Unrepresentable <class ")


def test_default_encoding():
    assert encoding.default_encoding(io.StringIO()) == sys.getfilesystemencoding()
    with open(__file__, encoding="latin-1") as stream:
        assert encoding.default_encoding(stream) == "latin-1"
        encoding.set_default_encoding_file(stream)
        try:
            assert encoding.get_default_encoding_file() is stream
            assert encoding.default_encoding() == "latin-1"
        finally:
            encoding.set_default_encoding_file(None)


@given(st.text(st.characters(max_codepoint=127, exclude_characters="\0")))
def test_escaped_text_matches_itself(text):
    import re

    assert re.fullmatch(escape_regex(text), text)


def test_escape_regex_as_recorded():
    assert escape_regex("a.b*c_-\u00e9\0", "*") == "a\\.b*c\\_\\-\u00e9\\000"


def test_fuzzy_match():
    assert fmatch_best("foo", ["fo", "bar", "fooo"]) == "fooo"
    assert fmatch_best("zz", ["a"]) is None
    assert [text for _, text in fmatch_iter("foo", ["fo", "bar"])] == ["fo"]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("3", (3, 0, 0, "", "")),
        ("3.6.1rc2", (3, 6, 1, "rc2", "")),
        ("3.0.0dev-1", (3, 0, 0, "dev", "1")),
        ("3.6.1.4.5", (3, 6, 1, "4", "5")),
    ],
)
def test_version(text, version):
    assert version_string_as_tuple(text) == version


@pytest.mark.parametrize("text", ["", "a", "3.x.1", "3.6.rc1"])
def test_no_version(text):
    with pytest.raises(ValueError, match="invalid literal"):
        version_string_as_tuple(text)


def test_units_and_identifiers():
    assert [maybe_s_to_ms(v) for v in (None, 0.5, "3", 1.9999)] == [None, 500, 3000, 1999]
    assert len({uuid() for _ in range(100)}) == 100
    assert len(uuid()) == 36


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("kombu.utils.time:maybe_s_to_ms",), {}),
        (("kombu.utils.time.maybe_s_to_ms",), {}),
        ((".utils.time:maybe_s_to_ms",), {"package": "kombu"}),
        (("alias", {"alias": "kombu.utils.time:maybe_s_to_ms"}), {}),
        ((maybe_s_to_ms,), {}),
        (("no.such.module", None), {"default": maybe_s_to_ms}),
        (("kombu.utils.time:nothing", None), {"default": maybe_s_to_ms}),
    ],
)
def test_symbol_by_name(args, kwargs):
    assert symbol_by_name(*args, **kwargs) is maybe_s_to_ms


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("no.such:thing", ImportError),
        ("kombu.utils.time:nothing", AttributeError),
        ("", ValueError),
    ],
)
def test_symbol_of_no_such_name(name, error):
    with pytest.raises(error):
        symbol_by_name(name)


def test_symbol_that_is_a_module():
    assert symbol_by_name("os") is __import__("os")


# -- schedules ----------------------------------------------------------------------------------


@pytest.fixture
def cycle():
    empty = set()

    def take(resource, callback, **kwargs):
        if resource in empty:
            raise Empty
        return resource, kwargs

    made = FairCycle(take, ["a", "b", "c"], Empty)
    made.empty = empty
    return made


def test_fair_cycle(cycle):
    assert [cycle.get(None)[0] for _ in range(4)] == ["a", "b", "c", "a"]
    assert cycle.get(None, timeout=1) == ("b", {"timeout": 1})
    cycle.empty.update("bc")
    assert [cycle.get(None)[0] for _ in range(2)] == ["a", "a"]
    cycle.empty.add("a")
    with pytest.raises(Empty):
        cycle.get(None)
    assert repr(cycle).startswith("<FairCycle: ")


def test_fair_cycle_of_changing_resources(cycle):
    cycle.get(None)
    cycle.get(None)
    cycle.resources[:] = ["z"]
    assert cycle.get(None)[0] == "z"
    cycle.resources.clear()
    with pytest.raises(Empty):
        cycle.get(None)
    cycle.close()


def test_fair_cycle_with_several_errors():
    cycle = FairCycle(lambda *args: None, [], (Empty, KeyError))
    with pytest.raises(Empty):
        cycle.get(None)


def test_round_robin():
    cycle = round_robin_cycle(["a", "b", "c"])
    assert cycle.consume(2) == ["a", "b"]
    assert cycle.rotate("a") == "a"
    assert cycle.consume(9) == ["b", "c", "a"]
    assert cycle.rotate("gone") == "gone"
    cycle.update(["x"])
    assert cycle.consume(1) == ["x"]
    assert round_robin_cycle().consume(1) == []


def test_other_cycles():
    for cycle_class, consumed in ((priority_cycle, ["c", "a"]), (sorted_cycle, ["a", "c"])):
        cycle = cycle_class(["c", "a", "b"])
        cycle.rotate("c")
        assert cycle.consume(2) == consumed
    assert cycle_by_name("sorted") is sorted_cycle
    assert cycle_by_name("kombu.utils.scheduling:priority_cycle") is priority_cycle
    assert cycle_by_name(round_robin_cycle) is round_robin_cycle
    with pytest.raises(ImportError):
        cycle_by_name("no_such_cycle")


# -- limits -------------------------------------------------------------------------------------


@pytest.fixture
def now(monkeypatch):
    time = [100.0]
    monkeypatch.setattr(limits, "monotonic", lambda: time[0])
    return time


def test_token_bucket(now):
    bucket = TokenBucket(2, capacity=3)
    assert [bucket.can_consume() for _ in range(4)] == [True, True, True, False]
    assert (bucket.expected_time(), bucket.expected_time(3)) == (0.5, 1.5)
    now[0] += 0.5
    assert bucket.can_consume()
    now[0] += 100
    assert not bucket.can_consume(4)
    assert bucket.can_consume(3)
    bucket.add("x")
    bucket.add("y")
    assert bucket.pop() == "x"
    bucket.clear_pending()
    with pytest.raises(IndexError):
        bucket.pop()


@given(st.floats(0.1, 100), st.integers(1, 20), st.lists(st.floats(0, 3), max_size=30))
def test_token_bucket_never_gives_more_than_its_rate(rate, capacity, pauses):
    with pytest.MonkeyPatch.context() as patch:
        time = [0.0]
        patch.setattr(limits, "monotonic", lambda: time[0])
        bucket, taken = TokenBucket(rate, capacity), 0
        for pause in pauses:
            time[0] += pause
            taken += bucket.can_consume()
            assert taken <= capacity + rate * time[0] + 1e-6


# -- containers ---------------------------------------------------------------------------------


def test_equality_dict():
    class Key(dict):
        def __eqhash__(self):
            return hash(tuple(self))

    kept = EqualityDict()
    kept[Key(a=1)] = "value"
    assert kept[Key(a=2)] == "value"
    with pytest.raises(KeyError):
        kept[Key(b=1)]
    del kept[Key(a=3)]
    assert not kept
    assert eqhash(5) == hash(5)


def test_hashed_sequence():
    assert HashedSeq(1, 2) == [1, 2]
    assert hash(HashedSeq(1, 2)) == hash((1, 2))


class Owner:
    computed = 0

    @cached_property
    def value(self):
        self.computed += 1
        return self.computed

    @value.setter
    def value(self, given):
        return given * 10

    @value.deleter
    def value(self, kept):
        self.deleted = kept


def test_cached_property():
    owner = Owner()
    assert (owner.value, owner.value, owner.computed) == (1, 1, 1)
    owner.value = 5
    assert owner.value == 50
    del owner.value
    assert owner.deleted == 50
    del owner.value
    assert owner.value == 2
    assert isinstance(Owner.value, cached_property)


def test_cached_property_needs_a_place():
    class Slotted:
        __slots__ = ()
        value = cached_property(lambda self: 1)

    with pytest.raises(TypeError, match="__dict__"):
        _ = Slotted().value


def test_cached_property_is_computed_once_by_threads():
    entered, seen = [Event(), Event()], []

    class Slow:
        @cached_property
        def value(self):
            number = sum(event.is_set() for event in entered)
            entered[number].set()
            entered[1].wait(0.2)  # another thread would come in now
            return number

    slow = Slow()
    threads = [Thread(target=lambda: seen.append(slow.value)) for _ in range(2)]
    threads[0].start()
    assert entered[0].wait(10)
    threads[1].start()
    for thread in threads:
        thread.join()
    assert seen == [0, 0]


# -- files and environments ---------------------------------------------------------------------


def test_file_descriptors():
    with open(__file__, "rb") as file:
        assert fileno(file) == maybe_fileno(file) == file.fileno()
    assert fileno(5) == 5
    for no_file in (object(), io.StringIO(), None):
        assert maybe_fileno(no_file) is None
    with pytest.raises(AttributeError):
        fileno("a")
    with pytest.raises(ValueError, match="None"):
        fileno(None)


def test_nested_contexts_leave_in_reverse():
    steps = []

    @contextmanager
    def step(name):
        steps.append(name)
        try:
            yield name
        finally:
            steps.append(f"/{name}")

    with pytest.raises(KeyError), nested(step("a"), step("b")) as names:
        assert names == ["a", "b"]
        raise KeyError
    assert steps == ["a", "b", "/b", "/a"]


def test_coro():
    received = []

    @coro
    def sink():
        while True:
            received.append((yield))

    sink().send(5)
    assert received == [5]


def test_entrypoints():
    entry_point, loaded = next(entrypoints("console_scripts"))
    assert entry_point.group == "console_scripts"
    assert callable(loaded)
    assert list(entrypoints("no.such.group")) == []


def test_environment(monkeypatch):
    assert compat.detect_environment() == "default"
    assert compat.get_gevent_concurrent_error() is None
    monkeypatch.setattr(compat, "_detect_environment", lambda: "gevent")
    assert compat.detect_environment() == "default"


def test_emergency_dump(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    said = io.StringIO()
    path = emergency_dump_state({"a": 1}, stderr=said)
    with open(path, "rb") as file:
        assert pickle.load(file) == {"a": 1}
    assert path in said.getvalue()
    path = emergency_dump_state({"a": lambda: 1}, stderr=said)
    with open(path, encoding="utf-8") as file:
        assert file.read().startswith("{'a': <function")
    assert "Cannot pickle" in said.getvalue()
