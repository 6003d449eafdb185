"""Decompressing up to a size: more than that is never written to memory.

Each function takes a body and the most bytes it may become, and returns them, or raises
:exc:`TooLarge`; what is broken raises the error of the decompressor's own library.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

#: Deflate makes at most 1032 bytes of one (zlib technical details, "maximum compression factor").
_DEFLATE_FACTOR = 1032

#: What xz may allocate for its dictionary, whatever the limit; its highest preset needs 65 MiB.
_XZ_MEMORY = 128 * 1024 * 1024

_ENDS_EARLY = "Compressed data ended before the end-of-stream marker was reached"


class TooLarge(Exception):
    """The decompressed body is larger than allowed."""


def inflate_zlib(body: Any, max_size: int) -> bytes:
    """Decompress zlib format (RFC 1950); what follows it is ignored."""
    if len(body) * _DEFLATE_FACTOR <= max_size:
        return zlib.decompress(body)
    stream = zlib.decompressobj()
    inflated = stream.decompress(body, max_size + 1)
    if len(inflated) > max_size:
        raise TooLarge
    if not stream.eof:
        raise zlib.error("Error -5 while decompressing data: incomplete or truncated stream")
    return inflated


def inflate_bz2(body: Any, max_size: int) -> bytes:
    """Decompress bzip2; several streams in a row are one, what follows them is ignored."""
    return _streams(bz2.BZ2Decompressor, body, max_size, ValueError, junk=OSError) if body else b""


def inflate_lzma(body: Any, max_size: int) -> bytes:
    """Decompress xz or lzma; several streams in a row are one, what follows them is ignored."""
    memory = max(max_size, _XZ_MEMORY)
    return _streams(
        lambda: lzma.LZMADecompressor(memlimit=memory),
        body,
        max_size,
        lzma.LZMAError,
        junk=lzma.LZMAError,
    )


def inflater_of_zstd(zstd: Any) -> Callable[[Any, int], bytes]:
    """Decompress zstd (RFC 8878), by ``compression.zstd`` or ``backports.zstd``."""

    def inflate_zstd(body: Any, max_size: int) -> bytes:
        return _streams(zstd.ZstdDecompressor, body, max_size, zstd.ZstdError)

    return inflate_zstd


def inflater_of_brotli(brotli: Any) -> Callable[[Any, int], bytes]:
    """Decompress brotli (RFC 7932), by ``brotli`` or ``brotlicffi``, from 1.2 on."""

    def inflate_brotli(body: Any, max_size: int) -> bytes:
        stream = brotli.Decompressor()
        # The library rounds its limit up, to some 32 KiB.
        inflated: bytes = stream.process(bytes(body), output_buffer_limit=max_size + 1)
        if len(inflated) > max_size:
            raise TooLarge
        if not stream.is_finished():
            raise brotli.error(_ENDS_EARLY)
        return inflated

    return inflate_brotli


def _streams(
    make: Callable[[], Any],
    body: Any,
    max_size: int,
    truncated: type[Exception],
    junk: type[Exception] | tuple[()] = (),
) -> bytes:
    """Decompress streams until the body ends, or until ``junk`` that follows at least one."""
    inflated: list[bytes] = []
    left = max_size
    while True:
        stream = make()
        try:
            chunk = stream.decompress(body, max_length=left + 1)
        except junk:
            if not inflated:
                raise
            break
        left -= len(chunk)
        if left < 0:
            raise TooLarge
        if not stream.eof:
            raise truncated(_ENDS_EARLY)
        inflated.append(chunk)
        body = stream.unused_data
        if not body:
            break
    return b"".join(inflated)
