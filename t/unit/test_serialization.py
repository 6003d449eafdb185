"""Serializers: what is written, what is refused, and how errors arrive."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kombu import serialization
from kombu.exceptions import (
    ContentDisallowed,
    DecodeError,
    EncodeError,
    KombuError,
    SerializationError,
    SerializerNotInstalled,
)
from kombu.serialization import (
    SerializerRegistry,
    disable_insecure_serializers,
    dumps,
    enable_insecure_serializers,
    loads,
    prepare_accept_content,
    raw_encode,
    registry,
)

CONTENT_TYPES = {
    "json": "application/json",
    "pickle": "application/x-python-serialize",
    "yaml": "application/x-yaml",
    "msgpack": "application/x-msgpack",
}


@pytest.fixture(autouse=True)
def defaults():
    yield
    disable_insecure_serializers()
    registry.enable("json")


@pytest.fixture
def own():
    """A registry with one serializer that notes nothing but its calls."""
    made = SerializerRegistry()
    made.register("own", lambda data: f"E{data}", lambda body: ("D", body), "application/x-own")
    return made


class Exploding:
    """Writes a file's worth of evil when unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


def test_bases_of_the_errors():
    assert issubclass(ContentDisallowed, SerializerNotInstalled)
    assert issubclass(SerializerNotInstalled, KombuError)
    assert issubclass(DecodeError, SerializationError)
    assert issubclass(EncodeError, SerializationError)
    assert issubclass(SerializationError, KombuError)


@pytest.mark.parametrize(
    ("data", "serializer", "written"),
    [
        ({"a": 1}, None, ("application/json", "utf-8", '{"a": 1}')),
        ({"a": 1}, "yaml", ("application/x-yaml", "utf-8", "a: 1\n")),
        ({"a": b"\0"}, "msgpack", ("application/x-msgpack", "binary", b"\x81\xa1a\xc4\x01\0")),
        (
            {"a": 1},
            "pickle",
            (
                "application/x-python-serialize",
                "binary",
                bytes.fromhex("8004950a000000000000007d948c0161944b01732e"),
            ),
        ),
        ("h\u00e9", None, ("text/plain", "utf-8", b"h\xc3\xa9")),
        ("h\u00e9", "raw", ("application/data", "utf-8", b"h\xc3\xa9")),
        (b"\xff", None, ("application/data", "binary", b"\xff")),
        (b"\xff", "raw", ("application/data", "binary", b"\xff")),
        (b"a", "json", ("application/json", "utf-8", '{"__type__": "bytes", "__value__": "a"}')),
        (1, "raw", ("application/data", "binary", 1)),
        (None, None, ("application/json", "utf-8", "null")),
    ],
)
def test_dumps(data, serializer, written):
    assert dumps(data, serializer) == written


@pytest.mark.parametrize("serializer", ["nope", "application/json"])
def test_dumps_by_an_unknown_serializer(serializer):
    with pytest.raises(SerializerNotInstalled, match=serializer):
        dumps({}, serializer)


@pytest.mark.parametrize(
    ("data", "serializer"),
    [
        (object(), "json"),
        (object(), "yaml"),
        (object(), "msgpack"),
        (lambda: 0, "pickle"),
        ("\ud800", None),
    ],
)
def test_what_cannot_be_written_is_an_encode_error_with_its_cause(data, serializer):
    with pytest.raises(EncodeError) as failure:
        dumps(data, serializer)
    assert str(failure.value) == str(failure.value.__cause__)


@pytest.mark.parametrize(
    ("body", "content_type", "encoding"),
    [
        (b"{", "application/json", "utf-8"),
        (b"\xff", "application/data", "utf-8"),
        (b"x", "application/x-unknown", "nope"),
        (b"\xff", None, None),
        (12, "text/plain", "utf-8"),
    ],
)
def test_what_cannot_be_read_is_a_decode_error_with_its_cause(body, content_type, encoding):
    with pytest.raises(DecodeError) as failure:
        loads(body, content_type, encoding)
    assert str(failure.value) == str(failure.value.__cause__)


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "read"),
    [
        (b'{"a": 1}', "application/json", "utf-8", {"a": 1}),
        (b"[1]", b"application/json", "binary", [1]),
        (memoryview(b"[1]"), "application/json", "utf-8", [1]),
        (b"h\xe9", "text/plain", "latin-1", "h\u00e9"),
        (b"\xff", None, "BINARY", b"\xff"),
        (b"x", "application/x-unknown", "ascii-8bit", b"x"),
        (b"abc", None, None, "abc"),
        (b"", "application/json", "utf-8", b""),
        (None, "application/json", "utf-8", None),
        ("abc", "text/plain", "nope", "abc"),
    ],
)
def test_loads(body, content_type, encoding, read):
    assert loads(body, content_type, encoding) == read


@pytest.mark.parametrize("name", ["pickle", "yaml", "msgpack"])
def test_insecure_serializers_are_refused_until_enabled(name):
    content_type, encoding, body = dumps({"a": 1}, name)
    with pytest.raises(
        ContentDisallowed, match=rf"disabled content of type {name} \({content_type}"
    ):
        loads(body, content_type, encoding)
    with pytest.raises(ContentDisallowed, match="untrusted"):
        loads(body, content_type, encoding, accept={"application/json"})
    assert loads(body, content_type, encoding, accept={content_type}) == {"a": 1}
    assert loads(body, content_type, encoding, force=True) == {"a": 1}
    enable_insecure_serializers([name])
    assert loads(body, content_type, encoding) == {"a": 1}
    disable_insecure_serializers()
    with pytest.raises(ContentDisallowed):
        loads(body, content_type, encoding)


def test_refused_pickle_is_not_even_looked_at():
    body = pickle.dumps(Exploding())
    for accept in (None, [], {"application/json"}, {"pickle"}):
        with pytest.raises(ContentDisallowed):
            loads(body, CONTENT_TYPES["pickle"], "binary", accept=accept)


def test_yaml_makes_plain_data_only():
    body = "!!python/object/apply:os.system ['exit 1']"
    with pytest.raises(DecodeError) as failure:
        loads(body, CONTENT_TYPES["yaml"], "utf-8", accept={CONTENT_TYPES["yaml"]})
    assert isinstance(failure.value.__cause__, yaml.YAMLError)


@pytest.mark.parametrize("content_type", ["application/data", "application/text"])
def test_some_content_is_always_accepted(content_type):
    assert loads(b"x", content_type, "utf-8", accept=[]) == "x"


def test_text_is_not_accepted_unless_named():
    with pytest.raises(ContentDisallowed):
        loads(b"x", "text/plain", "utf-8", accept={"application/json"})


def test_disable_insecure_serializers_but_some():
    disable_insecure_serializers(["json", "yaml"])
    assert loads("a: 1", CONTENT_TYPES["yaml"], "utf-8") == {"a": 1}
    disable_insecure_serializers(None)
    with pytest.raises(ContentDisallowed):
        loads("1", CONTENT_TYPES["json"], "utf-8")


def test_registry(own):
    assert own.dumps(1, "own") == ("application/x-own", "utf-8", "E1")
    assert own.loads("b", "application/x-own", "utf-8") == ("D", "b")
    own.disable("own")
    with pytest.raises(ContentDisallowed, match=r"own \(application/x-own\)"):
        own.loads("b", "application/x-own", "utf-8")
    own.enable("application/x-own")
    assert own.loads("b", "application/x-own", "utf-8") == ("D", "b")
    own.unregister("own")
    assert own.loads("b", "application/x-own", "utf-8") == "b"
    with pytest.raises(SerializerNotInstalled, match="own"):
        own.dumps(1, "own")
    with pytest.raises(SerializerNotInstalled, match="own"):
        own.unregister("own")
    for switch in (own.enable, own.disable):
        with pytest.raises(KeyError):
            switch("own")


def test_half_a_serializer(own):
    own.register("writes", str, None, "application/x-writes")
    own.register("reads", None, int, "application/x-reads")
    assert own.loads(b"7", "application/x-writes", "utf-8") == "7"
    assert own.loads(b"7", "application/x-reads", "utf-8") == 7
    with pytest.raises(SerializerNotInstalled):
        own.dumps(1, "reads")
    own.unregister("writes")
    own.unregister("reads")


def test_without_a_default_serializer(own):
    with pytest.raises(SerializerNotInstalled, match="default"):
        own.dumps({})


@pytest.mark.parametrize(
    ("given_types", "accepted"),
    [
        (None, None),
        ([], set()),
        (["json", "pickle"], {"application/json", "application/x-python-serialize"}),
        (("application/x-foo", "json"), {"application/json", "application/x-foo"}),
    ],
)
def test_prepare_accept_content(given_types, accepted):
    assert prepare_accept_content(given_types) == accepted


@pytest.mark.parametrize("name", ["raw", "nope"])
def test_prepare_accept_content_of_an_unknown_name(name):
    with pytest.raises(SerializerNotInstalled, match=name):
        prepare_accept_content(["json", name])


def test_prepare_accept_content_by_other_names():
    assert prepare_accept_content(["x"], {"x": "application/x"}) == {"application/x"}


def test_raw_encode():
    assert raw_encode("\u00e9") == ("application/data", "utf-8", b"\xc3\xa9")
    assert raw_encode(None) == ("application/data", "binary", None)


def test_pickle_protocol_comes_from_the_environment():
    code = "from kombu.serialization import dumps; print(dumps(1, 'pickle')[2][1])"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PICKLE_PROTOCOL": "2", "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stdout.strip() == "2"


@pytest.mark.parametrize(("name", "package"), [("yaml", "yaml"), ("msgpack", "msgpack")])
def test_serializer_whose_library_is_missing_names_the_extra(monkeypatch, name, package):
    monkeypatch.setattr(serialization, "registry", SerializerRegistry())
    monkeypatch.setitem(sys.modules, package, None)
    getattr(serialization, f"register_{name}")()
    for use in (
        lambda: serialization.registry.dumps({}, name),
        lambda: serialization.registry.loads(b"x", CONTENT_TYPES[name], "binary"),
    ):
        with pytest.raises(SerializerNotInstalled, match=rf"kombu\[{name}\]"):
            use()


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text("abc\u00e9 "),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4)
    ),
    max_leaves=10,
)


@pytest.mark.parametrize("name", CONTENT_TYPES)
@given(data=plain)
def test_round_trip(name, data):
    content_type, encoding, body = dumps(data, name)
    assert loads(body, content_type, encoding, accept={content_type}) == data
