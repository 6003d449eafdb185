"""The hot paths of :mod:`kombu.utils.json`: whole texts, without options.

Results are those of the standard library, always: what a faster way might do differently is
left to :mod:`json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from json.encoder import c_make_encoder, encode_basestring_ascii
from typing import Any

#: An escape of one of the characters of ``__type__``, by which a key may hide it.
_HIDDEN_MARKER = re.compile(r"\\u00(?:5[fF]|6[5]|7[049])")

_Hook = Callable[[dict[str, Any]], Any]


def _parse_plain(text: str, object_hook: _Hook) -> Any:
    """Read JSON, calling ``object_hook`` only where the text may hold a marked object."""
    if "__type__" in text or ("\\u00" in text and _HIDDEN_MARKER.search(text)):
        return json.loads(text, object_hook=object_hook)
    return json.loads(text)


parse_plain = _parse_plain


def _encode_plain(value: Any, default: Callable[[Any], Any]) -> str:
    """Write JSON; ``default`` makes something writable of other types."""
    encode = c_make_encoder(  # type: ignore[misc]
        None, default, encode_basestring_ascii, None, ": ", ", ", False, False, True
    )
    try:
        return "".join(encode(value, 0))
    except RecursionError:
        # Too deep, or it contains itself: the slow way tells which.
        return json.dumps(value, default=default)


#: ``None`` where the interpreter has no encoder in C.
encode_plain: Callable[[Any, Callable[[Any], Any]], str] | None = (
    _encode_plain if c_make_encoder else None
)
