"""The hot paths of :mod:`kombu.utils.json`: whole texts, without options.

What they return is what the standard library returns, always: it takes over wherever a faster
way fails or might differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from json import encoder as _json_encoder
from typing import Any

#: An escape of one of the characters of ``__type__``, by which a key may hide it.
_HIDDEN_MARKER = re.compile(r"\\u00(?:5[fF]|65|7[049])")

Default = Callable[[Any], Any]
ObjectHook = Callable[[dict[str, Any]], Any]


def _first_parse(text: str) -> Any:
    # The faster library, where there is one, is imported with the first text that is read.
    global _parse
    try:
        from msgspec.json import Decoder
    except ImportError:
        _parse = json.loads
    else:
        _parse = Decoder().decode
    return _parse(text)


#: Parses a text without marked objects; raises :exc:`Exception` where :mod:`json` must decide.
_parse: Callable[[str], Any] = _first_parse

_make_encoder: Any = getattr(_json_encoder, "c_make_encoder", None)


def make_parser(object_hook: ObjectHook) -> Callable[[Any], Any]:
    """Make what ``json.loads(text, object_hook=object_hook)`` is, but faster.

    Bytes, bytearrays and memoryviews are taken, too: they are utf-8.

    Arguments:
        object_hook: returns every object as it is that has no key ``__type__``.
    """
    parse_marked = json.JSONDecoder(object_hook=object_hook).decode

    def parse(data: Any) -> Any:
        kind = type(data)
        text = data if kind is str else data.decode("utf-8") if kind is bytes else text_of(data)
        if "__type__" not in text and not ("\\u00" in text and _HIDDEN_MARKER.search(text)):
            try:
                return _parse(text)
            except Exception:  # noqa: BLE001 - the standard library decides, and says what is wrong
                return json.loads(text)
        try:
            return parse_marked(text)
        except json.JSONDecodeError:
            return json.loads(text, object_hook=object_hook)

    return parse


def text_of(data: Any) -> str:
    """Text as it is, bytes as utf-8."""
    if isinstance(data, str):
        return data
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data).decode("utf-8")
    raise TypeError(f"the JSON object must be text or bytes, not {type(data).__name__}")


def make_writer(default: Default) -> Callable[[Any], str]:
    """Make what ``json.dumps(value, default=default)`` is, but faster.

    Arguments:
        default: returns something writable for what JSON has no notation for.
    """
    if _make_encoder is None:
        return json.JSONEncoder(default=default).encode

    # No markers of what is being written: what contains itself runs into the recursion limit.
    encode = _make_encoder(
        None, default, json.encoder.encode_basestring_ascii, None, ": ", ", ", False, False, True
    )

    def write(value: Any) -> str:
        try:
            return "".join(encode(value, 0))
        except RecursionError:
            return json.dumps(value, default=default)

    return write
