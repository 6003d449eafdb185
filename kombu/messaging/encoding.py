"""From a Python body to what a channel publishes."""

from __future__ import annotations

from typing import Any

from kombu.compression import compress
from kombu.serialization import dumps

#: (body, content type, content encoding); a plain tuple, for one is made with each publish
Encoded = tuple[Any, str, str]


def encode(
    body: Any,
    serializer: str | None,
    content_type: str | None,
    content_encoding: str | None,
    compression: str | None,
    headers: dict[str, Any],
) -> Encoded:
    """Serialize and compress a body.

    Arguments:
        body: what to send; with ``content_type`` it is taken as serialized already.
        serializer: name of a serializer; ``None`` is the default one (JSON).
        content_type: MIME type of a body that is serialized already.
        content_encoding: its character set, or ``"binary"``.
        compression: name or MIME type of a compression, or ``None``.
        headers: gets the key ``compression`` when the body is compressed.

    Returns:
        the body as it is sent, its MIME type, and its character set or ``"binary"``.

    Raises:
        EncodeError: the body can't be serialized.
        SerializerNotInstalled: no serializer has that name.
        KeyError: no compression has that name.
    """
    if not content_type:
        content_type, content_encoding, body = dumps(body, serializer=serializer)
    elif isinstance(body, str):
        content_encoding = content_encoding or "utf-8"
        body = body.encode(content_encoding)
    elif not content_encoding:
        content_encoding = "binary"
    if compression:
        body, headers["compression"] = compress(body, compression)
    return body, content_type, content_encoding or "binary"


def milliseconds(seconds: Any, what: str) -> int:
    """Whole milliseconds, from seconds as a number or its text.

    Raises:
        ValueError: it is no number, or negative; names ``what``.
    """
    try:
        number = int(float(seconds) * 1000)
    except (TypeError, ValueError, OverflowError) as exc:
        raise ValueError(f"{what} must be a number of seconds, not {seconds!r}") from exc
    if number < 0:
        raise ValueError(f"{what} must not be negative, but is {seconds!r}")
    return number
