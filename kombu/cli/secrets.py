"""Keeps passwords out of whatever is printed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from kombu.connection.masking import MASK, masked, masked_url

#: Secrets of fewer characters are cut out where they stand by themselves.
SHORT = 4


class Secrets:
    """The secrets of one command's URL and options, and how to cut them out of a text."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def learn(self, url: str, options: Mapping[str, Any]) -> None:
        """Take note of the passwords in a URL (or several, joined by ``;``) and in options."""
        for part in url.split(";"):
            try:
                address = urlsplit(part)
                password = address.password
            except ValueError:
                continue
            # guest:guest: cutting out the user's name would hide nothing.
            if password and password != address.username:
                self._known |= {password, unquote(password), quote(unquote(password), safe="")}
        for value in _leaves(options, masked(options)):
            self._known.add(value)

    def cut(self, text: str) -> str:
        """``text`` with every secret replaced."""
        for secret in sorted(self._known, key=len, reverse=True):
            # A password of a letter or two would take them out of every word.
            bounds = ("(?<!\\w)", "(?!\\w)") if len(secret) < SHORT else ("", "")
            text = re.sub(re.escape(secret).join(bounds), MASK, text)
        return text

    def url(self, url: str) -> str:
        """A URL for display."""
        return ";".join(masked_url(part) for part in url.split(";"))


def _leaves(clear: Any, shown: Any) -> list[str]:
    """The texts of ``clear`` that ``shown`` hides."""
    if isinstance(clear, Mapping) and isinstance(shown, Mapping):
        return [leaf for key in clear for leaf in _leaves(clear[key], shown[key])]
    if shown == MASK and isinstance(clear, str) and clear:
        return [clear]
    return []
