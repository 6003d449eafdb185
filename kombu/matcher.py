"""Matching names against patterns, in one of several ways."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch
from re import match as rematch
from typing import Any

from .utils.compat import entrypoints
from .utils.encoding import bytes_to_str

MatcherFunction = Callable[..., Any]


class MatcherNotInstalled(Exception):
    """No matcher of that name is registered."""


class MatcherRegistry:
    """Ways of matching, by name."""

    MatcherNotInstalled = MatcherNotInstalled

    #: Names of matchers that are called with the pattern before the data.
    matcher_pattern_first: list[str] = ["pcre"]

    def __init__(self) -> None:
        self._matchers: dict[str, MatcherFunction] = {}
        self._default_matcher: MatcherFunction | None = None

    def register(self, name: str, matcher: MatcherFunction) -> None:
        """Add (or replace) a matcher: called with (data, pattern), a true result is a match."""
        self._matchers[name] = matcher

    def unregister(self, name: str) -> None:
        """Remove a matcher.

        Raises:
            MatcherNotInstalled: there is none of that name.
        """
        self._named(name)
        del self._matchers[name]

    def match(
        self,
        data: Any,
        pattern: Any,
        matcher: str | None = None,
        matcher_kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Match ``data`` against ``pattern``.

        Arguments:
            matcher: how; by default, as :meth:`_set_default_matcher` says.
            matcher_kwargs: keywords for the matcher.

        Raises:
            MatcherNotInstalled: there is no such matcher.
        """
        if matcher:
            function = self._named(matcher)
        elif self._default_matcher is not None:
            function = self._default_matcher
        else:
            raise self.MatcherNotInstalled("No default matcher installed")
        operands = [bytes_to_str(data), bytes_to_str(pattern)]
        if matcher in self.matcher_pattern_first:
            operands.reverse()
        return function(*operands, **(matcher_kwargs or {}))

    def _set_default_matcher(self, name: str) -> None:
        self._default_matcher = self._named(name)

    def _named(self, name: str) -> MatcherFunction:
        try:
            return self._matchers[name]
        except KeyError:
            raise self.MatcherNotInstalled(f"No matcher installed for {name}") from None


#: The matchers of this process.
registry = MatcherRegistry()

match = registry.match
register = registry.register
unregister = registry.unregister


def register_glob() -> None:
    """Register ``glob``: shell patterns, and the default."""
    registry.register("glob", fnmatch)


def register_pcre() -> None:
    """Register ``pcre``: a regular expression, matched from the start."""
    registry.register("pcre", rematch)


register_glob()
register_pcre()
registry._set_default_matcher("glob")

for _entry_point, _function in entrypoints("kombu.matchers"):
    register(_entry_point.name, _function)
