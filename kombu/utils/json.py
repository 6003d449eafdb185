"""JSON with dates, times, decimals, UUIDs and bytes.

What JSON has no notation for is written as ``{"__type__": marker, "__value__": value}``. The
text is what :func:`json.dumps` writes by default, byte for byte; other peers read it.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, TypeVar, cast

from .jsontext import make_parser, make_writer, text_of

T = TypeVar("T")
EncodedT = TypeVar("EncodedT")

#: Types that were turned into text before; there are none any more.
textual_types: tuple[type, ...] = ()

_Encoder = Callable[[Any], Any]
_Decoder = Callable[[Any], Any]

_encoders: dict[type, tuple[str | None, _Encoder]] = {}
_decoders: dict[Any, _Decoder] = {
    "bytes": lambda text: text.encode("utf-8"),
    "base64": lambda text: base64.b64decode(text.encode("utf-8")),
}


class JSONEncoder(json.JSONEncoder):
    """Writes the types above; others by their ``__json__()``, or as :func:`register_type` says."""

    def default(self, o: Any) -> Any:
        """What to write in place of ``o``; ``TypeError`` when nothing is known of its type."""
        own = getattr(o, "__json__", None)
        if own is not None:
            return own()
        for known, (marker, encoder) in _encoders.items():
            if isinstance(o, known):
                return encoder(o) if marker is None else _marked(marker, encoder(o))
        if isinstance(o, bytes):
            return _marked_bytes(o)
        return super().default(o)


def dumps(
    s: Any,
    _dumps: Callable[..., str] = json.dumps,
    cls: Any = JSONEncoder,
    default_kwargs: dict[str, Any] | None = None,
    **kwargs: Any,
) -> str:
    """Write ``s`` as JSON.

    Arguments:
        s: what to write.
        cls: the encoder class.
        default_kwargs: keywords for :func:`json.dumps`; those in ``kwargs`` win.

    Raises:
        TypeError: a type that can't be written, or a key that is no text, number, bool or None.
        ValueError: it contains itself.
    """
    if kwargs or default_kwargs or cls is not JSONEncoder or _dumps is not json.dumps:
        return _dumps(s, cls=cls, **{**(default_kwargs or {}), **kwargs})
    return write(s)


def object_hook(o: dict[str, Any]) -> Any:
    """The value of a marked object; any other object as it is.

    Raises:
        ValueError: no type is registered for the marker.
    """
    if len(o) != 2 or "__type__" not in o or "__value__" not in o:
        return o
    decoder = _decoders.get(o["__type__"])
    if decoder is None:
        raise ValueError(f"no type is registered for the JSON marker {o['__type__']!r}")
    return decoder(o["__value__"])


def loads(
    s: Any,
    _loads: Callable[..., Any] = json.loads,
    decode_bytes: bool = True,
    object_hook: Callable[[dict[str, Any]], Any] | None = object_hook,
) -> Any:
    """Read JSON.

    Arguments:
        s: text, bytes, bytearray or memoryview.
        decode_bytes: bytes are utf-8; ``False`` leaves them to :func:`json.loads`, which also
            reads utf-16 and utf-32.
        object_hook: called with each object, returns what to put in its place.

    Raises:
        ValueError: it is no JSON, no utf-8, or a marked object can't be read.
    """
    as_text = decode_bytes or isinstance(s, (str, memoryview))
    if as_text and object_hook is _object_hook and _loads is json.loads:
        return parse(s)
    return _loads(text_of(s) if as_text else s, object_hook=object_hook)


def register_type(
    t: type[T],
    marker: str | None,
    encoder: Callable[[T], EncodedT],
    decoder: Callable[[EncodedT], T] = lambda value: cast(Any, value),
) -> None:
    """Let JSON carry a type; its subclasses are carried too, as that type.

    Arguments:
        t: the type.
        marker: its name in the text; ``None`` writes the encoder's result unmarked, so that
            it comes back as what it was encoded to.
        encoder: makes of an instance something that JSON has.
        decoder: makes an instance of that.
    """
    _encoders[t] = (marker, encoder)
    if marker is not None:
        _decoders[marker] = decoder


_object_hook = object_hook
_encoder = JSONEncoder()


def _default(o: Any) -> Any:
    # Looked up each time: the method may be replaced on the class.
    return _encoder.default(o)


#: :func:`dumps` without options.
write = make_writer(_default)
#: :func:`loads` without options.
parse = make_parser(object_hook)


def _marked(marker: str, value: Any) -> dict[str, Any]:
    return {"__type__": marker, "__value__": value}


def _marked_bytes(value: bytes) -> dict[str, Any]:
    try:
        return _marked("bytes", value.decode("utf-8"))
    except UnicodeDecodeError:
        return _marked("base64", base64.b64encode(value).decode("ascii"))


def _parse_iso(parse: Callable[[str], T]) -> Callable[[str], T]:
    # Python 3.10 knows no Z for UTC.
    return lambda text: parse(text[:-1] + "+00:00" if text.endswith("Z") else text)


def _parse_date(text: str) -> date:
    return datetime.fromisoformat(text).date()


# datetime before date, which it is a subclass of.
register_type(datetime, "datetime", datetime.isoformat, _parse_iso(datetime.fromisoformat))
register_type(date, "date", date.isoformat, _parse_date)
register_type(time, "time", time.isoformat, _parse_iso(time.fromisoformat))
register_type(Decimal, "decimal", str, Decimal)
register_type(
    uuid.UUID, "uuid", lambda value: {"hex": value.hex}, lambda fields: uuid.UUID(**fields)
)
