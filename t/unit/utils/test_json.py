"""JSON: what it writes and reads, and that the fast ways give what the standard library gives."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kombu.utils import json as kombu_json
from kombu.utils.json import JSONEncoder, dumps, loads, object_hook, register_type


class Colour(Enum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


#: Value -> text, as recorded from the published package.
WRITTEN = [
    (datetime(2024, 1, 2, 3, 4, 5), '{"__type__": "datetime", "__value__": "2024-01-02T03:04:05"}'),
    (
        datetime(2024, 1, 2, 3, 4, 5, 678901, timezone(timedelta(hours=5, minutes=30))),
        '{"__type__": "datetime", "__value__": "2024-01-02T03:04:05.678901+05:30"}',
    ),
    (date(2024, 1, 2), '{"__type__": "date", "__value__": "2024-01-02"}'),
    (time(3, 4, 5, 6), '{"__type__": "time", "__value__": "03:04:05.000006"}'),
    (Decimal("1.10"), '{"__type__": "decimal", "__value__": "1.10"}'),
    (
        uuid.UUID("12345678-1234-5678-1234-567812345678"),
        '{"__type__": "uuid", "__value__": {"hex": "12345678123456781234567812345678"}}',
    ),
    (b"\xc3\xa9", '{"__type__": "bytes", "__value__": "\\u00e9"}'),
    (b"\xff\x00", '{"__type__": "base64", "__value__": "/wA="}'),
    ("\u00e9\U0001f600\x7f", '"\\u00e9\\ud83d\\ude00\\u007f"'),
    (
        [b"a", [b"b"]],
        '[{"__type__": "bytes", "__value__": "a"}, [{"__type__": "bytes", "__value__": "b"}]]',
    ),
    ({"a": 1e300, "b": [1.0, 0.00001]}, '{"a": 1e+300, "b": [1.0, 1e-05]}'),
    (2**70, "1180591620717411303424"),
]


@pytest.mark.parametrize(("value", "text"), WRITTEN)
def test_writes_and_reads_back(value, text):
    assert dumps(value) == text
    assert loads(text) == value
    assert loads(text.encode()) == value


@pytest.mark.parametrize(
    "value",
    [
        timedelta(1),
        {1, 2},
        bytearray(b"a"),
        Colour.RED,
        1j,
        object(),
        range(2),
        {b"k": 1},
        {(1,): 2},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_notation_is_refused(value):
    with pytest.raises(TypeError):
        dumps(value)


def test_enum_that_is_a_number_is_written_as_number():
    assert dumps(Number.ONE) == "1"


def test_own_json_method_comes_first():
    class Money(Decimal):
        def __json__(self):
            return {"amount": str(self)}

    assert dumps([Money("1.5")]) == '[{"amount": "1.5"}]'


@pytest.mark.parametrize("default_kwargs", [None, {"indent": None}])
def test_what_contains_itself_is_refused(default_kwargs):
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="Circular"):
        dumps(loop, default_kwargs=default_kwargs)


def test_what_contains_itself_through_default_is_refused():
    class Loop:
        def __json__(self):
            return [self]

    with pytest.raises((ValueError, RecursionError)):
        dumps(Loop())


def test_a_failure_leaves_nothing_behind():
    value = [1, {"a": object()}]
    for _ in range(3):
        with pytest.raises(TypeError):
            dumps(value)
    value[1]["a"] = 2
    assert dumps(value) == '[1, {"a": 2}]'


def test_keywords_go_to_the_standard_library():
    assert dumps({"b": 1, "a": 2}, sort_keys=True) == '{"a": 2, "b": 1}'
    assert dumps({"a": [1, 2]}, default_kwargs={"separators": (",", ":")}) == '{"a":[1,2]}'
    assert dumps("\u00e9", ensure_ascii=False) == '"\u00e9"'
    with pytest.raises(TypeError):
        dumps(b"x", cls=json.JSONEncoder)


@pytest.fixture
def registered():
    before = dict(kombu_json._encoders), dict(kombu_json._decoders)
    yield register_type
    for table, saved in zip((kombu_json._encoders, kombu_json._decoders), before, strict=True):
        table.clear()
        table.update(saved)


def test_registered_type_travels(registered):
    registered(complex, "complex", lambda value: [value.real, value.imag], lambda v: complex(*v))
    assert loads(dumps({"z": 2j})) == {"z": 2j}


def test_registered_without_marker_is_written_bare(registered):
    registered(set, None, sorted)
    assert dumps({3, 1, 2}) == "[1, 2, 3]"


def test_replaced_default_method_is_used(monkeypatch):
    monkeypatch.setattr(JSONEncoder, "default", lambda self, o: "replaced")
    assert dumps([object()]) == '["replaced"]'


@pytest.mark.parametrize(
    "text", ['{"__type__": "nope", "__value__": 1}', '{"__type__": null, "__value__": 1}']
)
def test_unknown_marker_is_named(text):
    with pytest.raises(ValueError, match="no type is registered for the JSON marker"):
        loads(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"__type__": "bytes", "__value__": "a", "x": 1}',
        '{"__type__": "bytes"}',
        '{"__value__": "bytes", "x": 1}',
    ],
)
def test_only_exactly_two_keys_are_a_marked_object(text):
    assert loads(text) == json.loads(text)


@pytest.mark.parametrize(
    "key",
    [r"__\u0074ype__", r"\u005f_type__", r"\u005F_type__", r"__t\u0079p\u0065__", r"__ty\u0070e__"],
)
def test_marker_hidden_by_escapes_is_found(key):
    assert loads('{"' + key + '": "bytes", "__value__": "a"}') == b"a"


def test_bytes_input():
    assert loads(memoryview(b"[1]")) == loads(bytearray(b"[1]")) == loads(b"[1]") == [1]
    with pytest.raises(UnicodeDecodeError):
        loads(b'"\xff"')
    assert loads('"a"'.encode("utf-16"), decode_bytes=False) == "a"


def test_other_hooks():
    marked = '{"__type__": "bytes", "__value__": "a"}'
    assert loads(marked, object_hook=None) == json.loads(marked)
    assert loads(marked, object_hook=lambda o: 9) == 9


# -- the fast ways against the standard library ------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cs", "Ll", "Cc"]))
    | st.sampled_from(["__type__", "__value__", "\x7f", "\u2028"])
)
typed = (
    st.datetimes()
    | st.dates()
    | st.times()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.binary()
)


def structures(leaves):
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text() | st.sampled_from(["__type__", "a"]), inner, max_size=4)
        ),
        max_leaves=12,
    )


def outcome(function, *args, **kwargs):
    """Result (by its repr, which tells 1 from 1.0 and -0.0 from 0.0) or type of the error."""
    try:
        return repr(function(*args, **kwargs))
    except Exception as exc:  # noqa: BLE001 - compared
        return type(exc)


@settings(max_examples=300)
@given(structures(scalars | typed | st.sampled_from([{1}, object, 1j])))
def test_dumps_is_the_standard_librarys(value):
    assert outcome(dumps, value) == outcome(json.dumps, value, cls=JSONEncoder)


@settings(max_examples=300)
@given(structures(scalars), st.sampled_from([None, 1]), st.booleans())
def test_loads_is_the_standard_librarys(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert outcome(loads, text) == outcome(json.loads, text, object_hook=object_hook)


tokens = st.sampled_from(
    [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        '"',
        "\\",
        "0",
        "1",
        "-1",
        "01",
        "1.",
        ".5",
        "1e5",
        "1e999",
        "-0",
        "-0.0",
        "1E+2",
        "NaN",
        "Infinity",
        "-Infinity",
        "null",
        "true",
        "nul",
        '"a"',
        '"\\u00e9"',
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '"\\u005f"',
        '"\\/"',
        '"\\x"',
        '"__type__"',
        '"__value__"',
        '"bytes"',
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "1.7976931348623159e308",
        "5e-324",
        "2.2250738585072011e-308",
        "0.1e-400",
        "12345678901234567890.0",
    ]
) | st.sampled_from(
    [" ", "\t", "\n", "\x0b", "\ufeff", "\u00a0", '"\t"', '"\x00"', '"\x7f"', '"\ud800"']
)


@settings(max_examples=500)
@given(st.lists(tokens, max_size=9).map("".join))
@example('{"a":1,"b":2,"a":3}')
@example('\ufeff"a"')
@example("[" * 100_000)
@example("9" * 5000)
@example("0." + "1" * 5000)
@example('{"__type__":"bytes","__value__":"\ud800"}')
def test_loads_of_any_text_is_the_standard_librarys(text):
    assert outcome(loads, text) == outcome(json.loads, text, object_hook=object_hook)


@given(structures(scalars.filter(lambda value: value == value) | typed))
def test_what_was_written_is_read_back(value):
    text = dumps(value)
    read = outcome(loads, text)
    assert read == outcome(json.loads, text, object_hook=object_hook)
    assert text.isascii()


def test_works_without_the_faster_parser():
    code = (
        "import sys; sys.modules['msgspec'] = None\n"
        "from kombu.utils.json import dumps, loads\n"
        "print(loads(dumps({'a': [1, b'b', 2**70]})))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stdout == "{'a': [1, b'b', 1180591620717411303424]}\n"
