"""Compression of bodies."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from .utils.encoding import ensure_bytes

__all__ = ("compress", "decompress", "encoders", "get_decoder", "get_encoder", "register")

_Codec = Callable[[Any], Any]

_aliases: dict[str, str] = {}
_encoders: dict[str, _Codec] = {}
_decoders: dict[str, _Codec] = {}


def register(
    encoder: _Codec, decoder: _Codec, content_type: str, aliases: Iterable[str] | None = None
) -> None:
    """Add a compression."""
    _encoders[content_type] = encoder
    _decoders[content_type] = decoder
    _aliases.update((alias, content_type) for alias in aliases or ())


def encoders() -> list[str]:
    """Content types of the registered compressions."""
    return list(_encoders)


def get_encoder(t: str) -> tuple[_Codec, str]:
    """The compressing function and the content type of a content type or alias."""
    content_type = _aliases.get(t, t)
    return _encoders[content_type], content_type


def get_decoder(t: str) -> _Codec:
    """The decompressing function of a content type or alias."""
    return _decoders[_aliases.get(t, t)]


def compress(body: Any, content_type: str) -> tuple[Any, str]:
    """Compress, and return the bytes and the content type to be told the receiver."""
    encoder, content_type = get_encoder(content_type)
    return encoder(ensure_bytes(body)), content_type


def decompress(body: Any, content_type: str) -> Any:
    """Decompress."""
    return get_decoder(content_type)(body)


register(zlib.compress, zlib.decompress, "application/x-gzip", aliases=["gzip", "zlib"])
register(bz2.compress, bz2.decompress, "application/x-bz2", aliases=["bzip2", "bzip"])
register(lzma.compress, lzma.decompress, "application/x-lzma", aliases=["lzma", "xz"])

try:
    import brotli
except ImportError:
    pass
else:
    register(brotli.compress, brotli.decompress, "application/x-brotli", aliases=["brotli"])
