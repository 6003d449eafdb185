"""Small helpers for text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from typing import NamedTuple


class version_info_t(NamedTuple):
    """A version number in its parts."""

    major: int
    minor: int
    micro: int
    releaselevel: str
    serial: str


_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_MICRO = re.compile(r"(\d*)(.*)", re.DOTALL)


def escape_regex(p: str, white: str = "") -> str:
    """Escape ``p`` for use in a regular expression.

    Arguments:
        p: any text.
        white: characters to leave alone.
    """
    unchanged = _PLAIN.union(white)
    escaped = []
    for character in p:
        if character in unchanged or ord(character) > 127:
            escaped.append(character)
        elif character == "\0":
            escaped.append("\\000")
        else:
            escaped.append("\\" + character)
    return "".join(escaped)


def fmatch_iter(
    needle: str, haystack: Iterable[str], min_ratio: float = 0.6
) -> Iterator[tuple[float, str]]:
    """Yield ``(ratio, text)`` for each text like ``needle``: by at least ``min_ratio`` (0..1)."""
    for candidate in haystack:
        ratio = SequenceMatcher(None, needle, candidate).ratio()
        if ratio >= min_ratio:
            yield ratio, candidate


def fmatch_best(needle: str, haystack: Iterable[str], min_ratio: float = 0.6) -> str | None:
    """The text most like ``needle``, or ``None`` when none is like it."""
    matches = sorted(fmatch_iter(needle, haystack, min_ratio), reverse=True)
    return matches[0][1] if matches else None


def version_string_as_tuple(s: str) -> version_info_t:
    """Parse a version such as ``3.6.1rc2``.

    Raises:
        ValueError: major, minor or micro is no number.
    """
    fields = s.split(".")
    major, minor = int(fields[0]), int(fields[1]) if len(fields) > 1 else 0
    micro, level, serial = 0, "", ""
    if len(fields) > 2:
        digits, rest = _MICRO.fullmatch(fields[2]).groups()  # type: ignore[union-attr]
        micro = int(digits)
        level, _, serial = rest.partition("-")
    if len(fields) > 3:
        level = fields[3]
    if len(fields) > 4:
        serial = fields[4]
    return version_info_t(major, minor, micro, level, serial)
