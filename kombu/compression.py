"""Compression of bodies.

Decompressing stops at a size, :data:`DEFAULT_MAX_SIZE` unless :func:`set_max_size` says
otherwise, so that a small message can't fill the memory of its receiver.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from .exceptions import DecodeError
from .utils.encoding import ensure_bytes
from .utils.inflate import (
    TooLarge,
    inflate_bz2,
    inflate_lzma,
    inflate_zlib,
    inflater_of_brotli,
    inflater_of_zstd,
)

__all__ = (
    "DEFAULT_MAX_SIZE",
    "compress",
    "decompress",
    "encoders",
    "get_decoder",
    "get_encoder",
    "get_max_size",
    "register",
    "set_max_size",
)

#: Most bytes a body may become when decompressed, unless :func:`set_max_size` says otherwise.
DEFAULT_MAX_SIZE = 256 * 1024 * 1024

_Codec = Callable[[Any], Any]
_Inflater = Callable[[Any, int], bytes]
_MaybeInflater = Callable[[Any, "int | None"], Any]

_aliases: dict[str, str] = {}
_encoders: dict[str, _Codec] = {}
_decoders: dict[str, _Codec] = {}
#: Those of our decoders that can stop at a size, by content type.
_inflaters: dict[str, _MaybeInflater] = {}

#: What to install for those that are optional, by content type and alias.
_EXTRAS = {
    "application/x-brotli": "brotli",
    "brotli": "brotli",
    "application/zstd": "zstd",
    "zstd": "zstd",
    "zstandard": "zstd",
}

_AS_SET: Any = object()
_max_size: int | None = DEFAULT_MAX_SIZE


def set_max_size(max_size: int | None) -> None:
    """Set the most bytes a body of this process may become when decompressed; ``None``: any.

    Raises:
        ValueError: it is negative.
    """
    global _max_size
    if max_size is not None and max_size < 0:
        raise ValueError(f"max_size must not be negative: {max_size}")
    _max_size = max_size


def get_max_size() -> int | None:
    """The most bytes a body may become when decompressed; ``None``: any."""
    return _max_size


def register(
    encoder: _Codec, decoder: _Codec, content_type: str, aliases: Iterable[str] | None = None
) -> None:
    """Add (or replace) a compression.

    Arguments:
        encoder: makes compressed bytes of bytes.
        decoder: the reverse. What it returns is refused when it is too large, but only then:
            a decoder that is to stop by itself must know its limit (see :func:`get_max_size`).
        content_type: what messages call it, in the header ``compression``.
        aliases: what users call it.
    """
    _encoders[content_type] = encoder
    _decoders[content_type] = decoder
    _inflaters.pop(content_type, None)
    _aliases.update((alias, content_type) for alias in aliases or ())


def _register_bounded(
    encoder: _Codec, inflater: _Inflater, unbounded: _Codec, content_type: str, *aliases: str
) -> None:
    def decode(body: Any) -> Any:
        return decompress(body, content_type)

    def inflate(body: Any, max_size: int | None) -> Any:
        return unbounded(body) if max_size is None else inflater(body, max_size)

    register(encoder, decode, content_type, aliases)
    _inflaters[content_type] = inflate


def encoders() -> list[str]:
    """Content types of the registered compressions."""
    return list(_encoders)


def get_encoder(t: str) -> tuple[_Codec, str]:
    """The compressing function and the content type of a content type or alias.

    Raises:
        KeyError: there is no such compression.
    """
    content_type = _aliases.get(t, t)
    return _find(_encoders, content_type), content_type


def get_decoder(t: str) -> _Codec:
    """The decompressing function of a content type or alias.

    Raises:
        KeyError: there is no such compression.
    """
    return _find(_decoders, _aliases.get(t, t))


def _find(codecs: dict[str, _Codec], content_type: str) -> _Codec:
    try:
        return codecs[content_type]
    except KeyError:
        extra = _EXTRAS.get(content_type)
        if extra is None:
            raise
        raise KeyError(
            f"compression {content_type!r} is not installed: pip install 'kombu[{extra}]'"
        ) from None


def compress(body: Any, content_type: str) -> tuple[Any, str]:
    """Compress.

    Arguments:
        body: bytes, or text that is written as utf-8.
        content_type: content type or alias of the compression.

    Returns:
        The compressed bytes, and the content type to tell the receiver.

    Raises:
        KeyError: there is no such compression.
    """
    encoder, content_type = get_encoder(content_type)
    return encoder(ensure_bytes(body)), content_type


def decompress(body: Any, content_type: str, max_size: int | None = _AS_SET) -> Any:
    """Decompress.

    Arguments:
        body: compressed bytes.
        content_type: content type or alias of the compression.
        max_size: most bytes it may become, ``None``: any; by default as :func:`set_max_size` says.

    Raises:
        KeyError: there is no such compression.
        DecodeError: it would become larger; it is not decompressed further.
        Exception: the error of the compression's library, when the body is broken.
    """
    content_type = _aliases.get(content_type, content_type)
    decoder = _find(_decoders, content_type)
    limit = _max_size if max_size is _AS_SET else max_size
    inflater = _inflaters.get(content_type)
    try:
        if inflater is not None:
            return inflater(body, limit)
        inflated = decoder(body)
        if limit is not None and isinstance(inflated, (bytes, str)) and len(inflated) > limit:
            raise TooLarge
    except TooLarge:
        raise DecodeError(
            f"the body, compressed as {content_type}, becomes larger than the limit of {limit} "
            "bytes (kombu.compression.set_max_size)"
        ) from None
    return inflated


def _first_installed(*names: str) -> Any:
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


_register_bounded(
    zlib.compress, inflate_zlib, zlib.decompress, "application/x-gzip", "gzip", "zlib"
)
_register_bounded(bz2.compress, inflate_bz2, bz2.decompress, "application/x-bz2", "bzip2", "bzip")

_brotli = _first_installed("brotli", "brotlicffi")
if _brotli is not None:
    _register_bounded(
        _brotli.compress,
        inflater_of_brotli(_brotli),
        _brotli.decompress,
        "application/x-brotli",
        "brotli",
    )

_register_bounded(lzma.compress, inflate_lzma, lzma.decompress, "application/x-lzma", "lzma", "xz")

_zstd = _first_installed("compression.zstd", "backports.zstd")
if _zstd is not None:
    _register_bounded(
        _zstd.compress,
        inflater_of_zstd(_zstd),
        _zstd.decompress,
        "application/zstd",
        "zstd",
        "zstandard",
    )
