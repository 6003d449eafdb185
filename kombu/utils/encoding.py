"""Text and bytes, and representations that never raise."""

from __future__ import annotations

import sys
import traceback
from typing import Any, TypeVar, overload

_Other = TypeVar("_Other")

#: Stream whose encoding is the default, see :func:`set_default_encoding_file`.
default_encoding_file: Any = None


def set_default_encoding_file(file: Any) -> None:
    """Take the default encoding from the stream ``file`` (``None``: utf-8)."""
    global default_encoding_file
    default_encoding_file = file


def get_default_encoding_file() -> Any:
    """The stream given to :func:`set_default_encoding_file`."""
    return default_encoding_file


def default_encoding(file: Any = None) -> str:
    """Encoding of ``file``, else of the default stream, else of the file system."""
    stream = file or default_encoding_file
    return getattr(stream, "encoding", None) or sys.getfilesystemencoding()


@overload
def str_to_bytes(s: str) -> bytes: ...
@overload
def str_to_bytes(s: _Other) -> _Other: ...
def str_to_bytes(s: Any) -> Any:
    """Text as utf-8; anything else as it is."""
    return s.encode() if isinstance(s, str) else s


@overload
def bytes_to_str(s: bytes) -> str: ...
@overload
def bytes_to_str(s: _Other) -> _Other: ...
def bytes_to_str(s: Any) -> Any:
    """utf-8 bytes as text, what is not utf-8 replaced; anything else as it is."""
    return s.decode(errors="replace") if isinstance(s, bytes) else s


ensure_bytes = str_to_bytes


def from_utf8(s: _Other, *args: Any, **kwargs: Any) -> _Other:
    """``s`` as it is (kept for callers of the Python 2 days)."""
    return s


def default_encode(obj: _Other) -> _Other:
    """``obj`` as it is (kept for callers of the Python 2 days)."""
    return obj


def safe_str(s: Any, errors: str = "replace") -> str:
    """``str(s)``, never raising; bytes are decoded as utf-8."""
    text = bytes_to_str(s)
    return text if isinstance(text, str) else _describe(text, str)


def safe_repr(o: Any, errors: str = "replace") -> str:
    """``repr(o)``, never raising."""
    return _describe(o, repr)


def _describe(obj: Any, how: Any) -> str:
    failure: Exception
    for render in (how, str):
        try:
            return str(render(obj))
        except Exception as exc:  # noqa: BLE001 - any user code may run in a repr
            failure = exc
    stack = "\n".join(traceback.format_stack())
    return f"<Unrepresentable {type(obj)!r}: {failure!r} {stack!r}>"
