"""Requests cut to what a backend takes."""

from __future__ import annotations

from kombu.transport.windows import windows


def test_neither_too_many_nor_too_large() -> None:
    words = ["aa", "bb", "c", "ddddddd", "e", "f", "g", "h"]
    groups = list(windows(words, len, 3, 5))
    assert groups == [["aa", "bb", "c"], ["ddddddd"], ["e", "f", "g"], ["h"]]


def test_nothing_is_no_request() -> None:
    assert list(windows([], len, 3, 5)) == []
