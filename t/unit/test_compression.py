"""Compressions, and that none expands a body over the limit."""

from __future__ import annotations

import bz2
import lzma
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu import compression
from kombu.compression import (
    DEFAULT_MAX_SIZE,
    compress,
    decompress,
    encoders,
    get_decoder,
    get_encoder,
    register,
    set_max_size,
)
from kombu.exceptions import DecodeError

MEBIBYTE = 1024 * 1024

#: Content type -> aliases, and "hello" as the published package compresses it.
RECORDED = {
    "application/x-gzip": (["gzip", "zlib"], "789ccb48cdc9c90700062c0215"),
    "application/x-bz2": (
        ["bzip2", "bzip"],
        "425a68393141592653591931653d00000081000244a000219a68334d07338bb9229c28480c98b29e80",
    ),
    "application/x-brotli": (["brotli"], "0b028068656c6c6f03"),
    "application/x-lzma": (
        ["lzma", "xz"],
        "fd377a585a000004e6d6b4460200210116000000742fe5a301000468656c6c6f00000000b137b9dbe5da1e9b"
        "00011d05b82d80af1fb6f37d010000000004595a",
    ),
}
ALL = [*RECORDED, "application/zstd"]


@pytest.fixture(autouse=True)
def limit_as_before():
    yield
    set_max_size(DEFAULT_MAX_SIZE)


def test_all_are_registered():
    assert set(ALL) <= set(encoders())


@pytest.mark.parametrize("content_type", RECORDED)
def test_reads_what_the_published_package_wrote(content_type):
    aliases, recorded = RECORDED[content_type]
    for name in [content_type, *aliases]:
        assert decompress(bytes.fromhex(recorded), name) == b"hello"
        assert get_encoder(name)[1] == content_type
        assert get_decoder(name)(bytes.fromhex(recorded)) == b"hello"


@pytest.mark.parametrize("content_type", ALL)
@given(body=st.binary(max_size=2000), repeat=st.integers(1, 50))
def test_round_trip_and_limit_to_the_byte(content_type, body, repeat):
    body *= repeat
    compressed, told = compress(body, content_type)
    assert told == content_type
    assert decompress(compressed, content_type) == body
    assert decompress(compressed, content_type, max_size=None) == body
    assert decompress(compressed, content_type, max_size=len(body)) == body
    if body:
        with pytest.raises(DecodeError, match=f"{content_type}.* limit of {len(body) - 1} bytes"):
            decompress(compressed, content_type, max_size=len(body) - 1)


@pytest.mark.parametrize("content_type", ALL)
def test_text_is_compressed_as_utf8(content_type):
    assert decompress(compress("h\u00e9", content_type)[0], content_type) == "h\u00e9".encode()


@pytest.mark.parametrize("content_type", ALL)
def test_is_never_expanded_over_the_limit(content_type):
    """Fault 36: 306 KB became 300 MB."""
    compressed, _ = compress(bytes(40 * MEBIBYTE), content_type)
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            decompress(compressed, content_type, max_size=2 * MEBIBYTE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MEBIBYTE  # the dictionary of xz alone has 8


def test_limit_may_be_set():
    compressed, _ = compress(bytes(2000), "gzip")
    set_max_size(1999)
    assert compression.get_max_size() == 1999
    for read in (get_decoder("gzip"), lambda body: decompress(body, "zlib")):
        with pytest.raises(DecodeError, match="limit of 1999"):
            read(compressed)
    set_max_size(None)
    assert len(decompress(compressed, "gzip")) == 2000
    with pytest.raises(ValueError, match="-1"):
        set_max_size(-1)


def test_default_limit_refuses_what_fault_36_measured():
    assert DEFAULT_MAX_SIZE < 300_000_000


@pytest.mark.parametrize("content_type", ALL)
@pytest.mark.parametrize("max_size", [None, MEBIBYTE, 200, 1])
def test_truncated_body_is_an_error(content_type, max_size):
    compressed, _ = compress(b"hello world" * 10, content_type)
    with pytest.raises(Exception) as failure:
        decompress(compressed[:-4], content_type, max_size=max_size)
    assert not isinstance(failure.value, AssertionError)


@pytest.mark.parametrize("max_size", [None, 5, MEBIBYTE])
@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (zlib.compress(b"a") + b"junk", "gzip", b"a"),
        (bz2.compress(b"a") + b"junk", "bzip2", b"a"),
        (bz2.compress(b"a") + bz2.compress(b"b"), "bzip2", b"ab"),
        (lzma.compress(b"a") + lzma.compress(b"b"), "xz", b"ab"),
        (lzma.compress(b"a") + b"junk", "xz", b"a"),
        (lzma.compress(b"a", lzma.FORMAT_ALONE), "xz", b"a"),
        (b"", "bzip2", b""),
        (memoryview(zlib.compress(b"a")), "gzip", b"a"),
    ],
)
def test_oddities_are_read_as_by_the_published_package(body, content_type, expected, max_size):
    assert decompress(body, content_type, max_size=max_size) == expected


def test_several_streams_share_one_limit():
    body = b"".join(bz2.compress(bytes(100)) for _ in range(3))
    assert len(decompress(body, "bzip2", max_size=300)) == 300
    with pytest.raises(DecodeError):
        decompress(body, "bzip2", max_size=299)


def test_unknown_compression():
    for use in (get_encoder, get_decoder, lambda name: compress(b"", name)):
        with pytest.raises(KeyError, match="nope"):
            use("nope")


@pytest.mark.parametrize("name", ["brotli", "application/x-brotli", "zstd"])
def test_compression_that_is_not_installed_names_the_extra(monkeypatch, name):
    monkeypatch.setattr(compression, "_encoders", {})
    monkeypatch.setattr(compression, "_aliases", {})
    with pytest.raises(KeyError, match=r"pip install 'kombu\[(brotli|zstd)\]'"):
        get_encoder(name)


@pytest.fixture
def registry(monkeypatch):
    for table in ("_encoders", "_decoders", "_aliases", "_inflaters"):
        monkeypatch.setattr(compression, table, dict(getattr(compression, table)))


def test_registered_compression(registry):
    register(lambda body: body[::-1], lambda body: body[::-1], "application/x-back", ["back"])
    assert compress("ab", "back") == (b"ba", "application/x-back")
    assert decompress(b"ba", "application/x-back") == b"ab"
    with pytest.raises(DecodeError):
        decompress(b"ba", "back", max_size=1)


def test_replaced_compression_is_the_one_used(registry):
    register(bytes, lambda body: b"mine", "application/x-gzip", ["gzip"])
    assert decompress(b"anything", "gzip") == b"mine"
